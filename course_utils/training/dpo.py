"""Direct preference optimisation: PPO's pairs without its reward model, its sampling and its value head.

The policy is its own reward model, r = β · (log π − log π_reference), and learns by the loss of one.

After Rafailov et al. 2023. Deviation: what all texts of a batch begin with, the instruction, is not counted; in the
difference of a pair it would cancel.
"""

import torch

from course_utils.models.fused_forward import fast_blocks
from course_utils.models.packing import shared_length
from course_utils.tensors import check_rows, moved
from course_utils.training import objectives


class DPOLoss(torch.nn.Module):
    """The DPO loss of a batch of pairs, for `loop.train`."""

    def __init__(self, actor, *, beta=0.1):
        """
        Args:
            actor: an actor.Actor; its value head learns nothing here.
            beta: how strongly the policy is held to the reference.
        """
        super().__init__()
        self.actor, self.beta = actor, beta
        actor.value.requires_grad_(False)

    def while_training(self):
        """The context in which the loop trains: fused functions take the place of eager ones where they can."""
        return fast_blocks(self.actor.model)

    def count(self, batch):
        """How many pairs."""
        return len(batch["better"])

    def forward(self, batch):
        """The loss of a batch as a `preference.PairCollator` makes it, in nats a pair."""
        check_rows(self.count(batch), "pair", ", so there is no mean")
        batch = moved(batch, self.actor.model.device)
        batch |= answer_masks(batch["input_ids"], batch["mask"])
        logprobs, _ = self.actor.read(batch)
        sums = (logprobs.sum(dim=1), self.actor.reference_logprobs(batch).sum(dim=1))
        chosen, rejected = ([column[batch[side]] for column in sums] for side in ("better", "worse"))
        loss, _ = objectives.dpo_loss(chosen[0], rejected[0], chosen[1], rejected[1], beta=self.beta)
        return loss


def answer_masks(input_ids, mask):
    """The masks that `Actor.read` asks for: what follows the beginning that all rows share.

    Args:
        input_ids, mask: (B, T), padded on the right.

    Returns:
        {"completion_mask": (B, T) bool, "answer_mask": (B, R) bool, the same tokens from column 0 on}.
    """
    completion = mask.clone()
    completion[:, : max(1, shared_length(input_ids, mask))] = False
    counts = completion.sum(dim=1)
    return {
        "completion_mask": completion,
        "answer_mask": torch.arange(int(counts.max()), device=mask.device) < counts[:, None],
    }
