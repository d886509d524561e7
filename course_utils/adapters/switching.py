"""One frozen backbone in memory, several LoRA adapters on it: reference, policy and reward model of PPO.

peft switches adapters too, but its `set_adapter` makes the target trainable, and leaving its `disable_adapter` switches
gradients back on even for what was frozen. `using` restores every flag, so a reference stays frozen whoever asked it.
After SFT, "no adapter" is the base model and not the SFT model; so the reference is an adapter of its own, and the
policy starts as its copy.
"""

import contextlib
import dataclasses
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

from course_utils import runtime

runtime.leave_out_old_torchao()  # here too, since an adapter can be attached without runtime.start()


def wrap(model, config, name="default"):
    """peft's `get_peft_model`, without a warning about what peft itself asks of transformers."""
    with warnings.catch_warnings():  # for a property by its old name
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        return get_peft_model(model, config, adapter_name=name)


@contextlib.contextmanager
def using(model, adapter):
    """Inside, the model computes with this adapter; which weights require a gradient does not change, then or after.

    Args:
        model: a PeftModel.
        adapter: the name of one of its adapters.

    Raises:
        ValueError: there is no such adapter; the message lists those there are.
    """
    _check_known(model, adapter)
    before = list(model.active_adapters)
    _activate(model, adapter)
    try:
        yield model
    finally:
        _activate(model, before[0])


def add(model, name, *, weights=None, rank=16, seed=0):
    """Put a LoRA adapter on all linear layers of the blocks, frozen, beside those that are there.

    Args:
        model: a transformers model, or a PeftModel that gets one adapter more.
        name: of the new adapter.
        weights: what `weights_of` returned, whose rank is taken; None starts one that changes nothing yet.
        rank: of an adapter without weights.
        seed: of its first numbers.

    Returns:
        The PeftModel; the adapters active before stay active, the first one becomes active.

    Raises:
        ValueError: the name is taken, or the weights are those of another model.
    """
    if weights is not None:
        rank = next(value.shape[0] for key, value in weights.items() if "lora_A" in key)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if not isinstance(model, PeftModel):
            model = wrap(model, config, name)
        elif name in model.peft_config:
            raise ValueError(f"There is an adapter {name!r} already. Choose another name.")
        else:
            before = model.active_adapters[0]
            flags = _flags(model)
            like = model.peft_config[before]
            model.add_adapter(name, dataclasses.replace(config, target_modules=like.target_modules))
            _activate(model, before, flags)
    for key, weight in model.named_parameters():
        if f".{name}." in key:
            weight.requires_grad_(False)
    if weights is not None:
        load(model, name, weights)
    return model


def weights_of(model, adapter="default"):
    """The adapter's weights as {name: tensor}, independent of the model."""
    _check_known(model, adapter)
    return {
        key: value.detach().clone() for key, value in get_peft_model_state_dict(model, adapter_name=adapter).items()
    }


def load(model, adapter, weights):
    """Put weights from `weights_of` into an adapter of the model.

    Raises:
        ValueError: they are of another model or another rank.
    """
    expected = {key: value.shape for key, value in weights_of(model, adapter).items()}
    found = {key: value.shape for key, value in weights.items()}
    if expected != found:
        wrong = sorted(key for key in expected | found if expected.get(key) != found.get(key))
        raise ValueError(
            f"{len(wrong)} of {len(expected)} weights do not fit the adapter {adapter!r} (first: {wrong[0]}, expected "
            f"{expected.get(wrong[0])}, got {found.get(wrong[0])}). Take weights of the same base model and rank."
        )
    set_peft_model_state_dict(model, weights, adapter_name=adapter)


def train_only(model, adapter):
    """Let one adapter learn and freeze everything else; it becomes the active one."""
    _check_known(model, adapter)
    flags = {key: f".{adapter}." in key and "lora_" in key for key, _ in model.named_parameters()}
    _activate(model, adapter, flags)


def _check_known(model, adapter):
    known = sorted(getattr(model, "peft_config", {}))
    if adapter not in known:
        raise ValueError(f"The model has no adapter {adapter!r}, only {', '.join(known) or 'none'}. Add it first.")


def _flags(model):
    return {key: weight.requires_grad for key, weight in model.named_parameters()}


def _activate(model, adapter, flags=None):
    """Make the adapter active and put every requires_grad flag back (or set it as given)."""
    flags = _flags(model) if flags is None else flags
    model.set_adapter(adapter)
    for key, weight in model.named_parameters():
        weight.requires_grad_(flags.get(key, False))
