"""What PPO trains: a policy and a value head in one pass over one trunk, beside the frozen reference they start from.

    backbone (frozen) ─┬─ adapter "sft"     frozen: the reference, π_reference
                       └─ adapter "policy"  learns: π, and on its last hidden states the value head V

Shapes: B rows, T tokens of prompt and answer, R tokens of the longest answer, N answer tokens of all rows, D width.
Deviation from InstructGPT: the critic is a head on the policy's trunk, not a second model as large; on a laptop that
halves time and memory, and the value loss moves the policy's adapter a little too.
"""

import torch

from course_utils.adapters import switching
from course_utils.models import sampling
from course_utils.models.fused_forward import fast_blocks
from course_utils.models.heads import ScalarHead
from course_utils.models.logprobs import IGNORE, next_token_targets, token_logprobs
from course_utils.models.packing import packed_hidden, use_row_attention

POLICY, REFERENCE = "policy", "sft"


class Actor(torch.nn.Module):
    """Policy and value on a shared trunk."""

    def __init__(self, model, *, temperature=1.0):
        """
        Args:
            model: a PeftModel with adapters "policy" and "sft", as `make` builds it.
            temperature: divides the logits, when sampling and when log-probabilities are read.
        """
        super().__init__()
        self.model, self.temperature = model, temperature
        self.value = ScalarHead(model.get_input_embeddings().embedding_dim).to(model.device)

    def read(self, batch):
        """The policy's log-probability of each answer token, and the value before it, in one pass.

        Args:
            batch: input_ids (B, T); mask (B, T) bool, True at real tokens; completion_mask (B, T) bool, True at the
                answer's; answer_mask (B, R) bool, the same answers from column 0 on.

        Returns:
            (logprobs, values): (B, R) fp32, zero where answer_mask is False; logprobs in nats.
        """
        states, tokens = self._states(batch)
        logprobs = token_logprobs(states, self._head(), tokens, temperature=self.temperature)
        return _spread(logprobs, batch["answer_mask"]), _spread(self.value(states), batch["answer_mask"])

    @torch.no_grad()
    def reference_logprobs(self, batch):
        """(B, R) the frozen reference's log-probability of each answer token; same batch as `read`."""
        with switching.using(self.model, REFERENCE):
            states, tokens = self._states(batch)
            logprobs = token_logprobs(states, self._head(), tokens, temperature=self.temperature)
        return _spread(logprobs, batch["answer_mask"])

    def sample(self, prompts, *, max_new_tokens, stop_tokens, seed, reference=False):
        """Answers to prompts given as lists of token ids, as `sampling.Sample`s; by the reference when asked."""
        adapter = REFERENCE if reference else POLICY
        with switching.using(self.model, adapter), fast_blocks(self.model):
            return sampling.sample(
                self.model.get_base_model(), prompts, max_new_tokens=max_new_tokens, temperature=self.temperature,
                stop_tokens=stop_tokens, seed=seed,
            )  # fmt: skip

    def train(self, mode=True):
        """Training mode without dropout, under which the ratio of two readings of one policy would not be 1."""
        super().train(mode)
        for part in self.modules():
            if isinstance(part, torch.nn.Dropout):
                part.eval()
        return self

    def _states(self, batch):
        """(N, D) hidden states that predict the answers' tokens, and (N,) those tokens, row after row."""
        read = batch["mask"].clone()  # but a row's last token, which predicts none
        read[:, :-1] &= batch["mask"][:, 1:]
        read[:, -1] = False
        hidden = packed_hidden(self.model, batch["input_ids"], read)
        targets = next_token_targets(batch["input_ids"], batch["completion_mask"])[read]
        predicts = targets != IGNORE
        return hidden[predicts], targets[predicts]

    def _head(self):
        return self.model.get_output_embeddings().weight


def make(model, *, sft=None, rank=16, temperature=1.0):
    """An actor whose policy is its reference, token for token.

    Args:
        model: the frozen base model, or a PeftModel of it with other adapters (a reward model's).
        sft: the SFT model's adapter weights, from `switching.weights_of`; None starts from the base model itself.
        rank: of the adapters when there are no weights.
        temperature: as for Actor.

    Returns:
        An Actor of which the policy's adapter and the value head learn.
    """
    use_row_attention(model)
    model = switching.add(model, REFERENCE, weights=sft, rank=rank)
    model = switching.add(model, POLICY, weights=switching.weights_of(model, REFERENCE))
    switching.train_only(model, POLICY)
    return Actor(model, temperature=temperature)


def _spread(numbers, mask):
    """(N,) numbers, row after row, to the True places of the (B, R) mask; zero elsewhere."""
    return numbers.new_zeros(mask.shape).masked_scatter(mask, numbers)
