"""The loss of pre-training and of supervised fine-tuning: predict the next token, where it counts.

Pre-training counts every token, SFT only those of the answer. Nothing else differs; that is the collator's mask.
"""

import torch

from course_utils.models.fused_forward import fast_blocks
from course_utils.models.logprobs import linear_cross_entropy, next_token_targets
from course_utils.models.packing import packed_hidden
from course_utils.tensors import moved


class NextTokenLoss(torch.nn.Module):
    """Mean cross-entropy of the next token over the completion mask, without pads and without full logits."""

    def __init__(self, model):
        """
        Args:
            model: a transformers causal language model, alone, with an adapter of ours, or inside a peft model; virtual
                tokens, where there are some, stand before every packed row.
        """
        super().__init__()
        self.model = model

    def while_training(self):
        """The context in which the loop trains: fused functions take the place of eager ones where they can."""
        return fast_blocks(self.model)

    def count(self, batch):
        """How many tokens are predicted and count; a row's first token is predicted by nothing."""
        return int(batch["completion_mask"][:, 1:].sum())

    def forward(self, batch):
        """The loss of a batch as `data.instructions.TokenCollator` makes it, in nats a token."""
        batch = moved(batch, self.model.device)
        targets = next_token_targets(batch["input_ids"], batch["completion_mask"])
        hidden = packed_hidden(self.model, batch["input_ids"], batch["mask"])
        return linear_cross_entropy(hidden, self.model.get_output_embeddings().weight, targets[batch["mask"]])
