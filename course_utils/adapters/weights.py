"""What every method has in common: freezing the base, counting what is trained, swapping two tasks on one base."""

import hashlib

import torch

SAMPLE = 1024  # weights of each tensor that a base is recognised by
MARKS = (".lora_", ".ia3_", ".update.", ".rescale", "virtual_tokens.", "prompt_encoder.")  # of an adapter's own weights


def trained(model):
    """{name: parameter} of what requires a gradient."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def own(model):
    """{name: parameter} of what is trained; where nothing learns any more, as after loading, of the active adapter."""
    return trained(model) or {
        name: weight
        for name, weight in model.named_parameters()
        if any(mark in f".{name}" for mark in MARKS) and _is_active(model, name)
    }


def _is_active(model, name):
    """Whether a weight of an adapter belongs to the one that a peft model uses now; ours has only one."""
    several = len(getattr(model, "peft_config", ())) > 1
    return not several or f".{model.active_adapters[0]}." in f"{name}."


def count(model):
    """How many weights are trained, or were before they were saved and loaded."""
    return sum(weight.numel() for weight in own(model).values())


def share(model):
    """Trained weights in percent of the frozen ones; a matrix that is embedding and head at once counts once."""
    mine = own(model)
    frozen = sum(weight.numel() for name, weight in model.named_parameters() if name not in mine)
    if not frozen:
        raise ValueError("Every weight is trained, so there is no frozen base to compare with. Add an adapter first.")
    return 100 * count(model) / frozen


def take(model):
    """A copy of the trained weights: one task, to keep while another is trained on the same base."""
    return {name: weight.detach().clone() for name, weight in own(model).items()}


@torch.no_grad()
def put(model, task):
    """Put a task's weights, as `take` gave them, into the model.

    Raises:
        ValueError: they belong to another method, other layers or another size.
    """
    here = own(model)
    shapes = [{name: tuple(weight.shape) for name, weight in weights.items()} for weights in (here, task)]
    if shapes[0] != shapes[1]:
        odd = sorted(name for name in shapes[0].keys() | shapes[1].keys() if shapes[0].get(name) != shapes[1].get(name))
        raise ValueError(
            f"These weights do not fit this model's adapter: {len(odd)} differ, the first {odd[0]}, which is "
            f"{shapes[1].get(odd[0], 'not there')} and should be {shapes[0].get(odd[0], 'not there')}.\n"
            "Inject the same method with the same sizes as when they were taken."
        )
    for name, weight in here.items():
        weight.copy_(task[name])


def fingerprint(model):
    """16 hex digits that tell one base from another: from up to SAMPLE weights of each of its tensors.

    An adapter's own weights do not count, nor whether the base was loaded in bf16 or fp32.
    """
    digest = hashlib.sha256()
    for name, weight in sorted(_base_weights(model).items()):
        flat = weight.detach().flatten()
        sample = flat[:: max(1, len(flat) // SAMPLE)].to(torch.bfloat16).contiguous()
        digest.update(f"{name}{tuple(weight.shape)}".encode())
        digest.update(sample.view(torch.uint8).cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _base_weights(model):
    """{name in the bare model: weight}, whatever adapter is around it; shared weights once."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return {
        name.replace(".base_layer.", ".").replace(".base.", "."): weight
        for name, weight in base.named_parameters()
        if not any(mark in f".{name}" for mark in MARKS)
    }
