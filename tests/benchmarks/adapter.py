"""A LoRA step on graded reviews against a bare peft loop and transformers' Trainer.

Everybody trains the same adapter (rank 8 on queries and values) from the same start on the same batches of 16 reviews,
each answered by one digit; losses must agree at every step. The bare loop calls the head on the needed positions only,
the Trainer does what it does with labels. Speed counts real tokens, never pads, from the second step on.
"""

import argparse
import json
import sys

import sft
import side_by_side

BARE = tuple(f"bare loop, {policy}" for policy in sft.POLICIES)
CONTENDERS = ("ours", *BARE, "transformers")


class Setting(sft.Setting):
    """The reviews and the adapter of notebook 10."""

    batch_size = 16
    lora = (8, 16, r".*\.[qv]_proj")

    def encoded(self):
        from course_utils.data import graded, reviews

        rows, digits = list(reviews.load("movies", "train"))[:512], graded.digit_tokens(self.tokenizer)
        shown = []
        for row, encoded in zip(rows, graded.encode(rows, self.tokenizer), strict=True):
            ids = [*encoded["input_ids"], digits[round(row["mean"]) - graded.LOWEST]]
            shown.append({"input_ids": ids, "completion_mask": [False] * (len(ids) - 1) + [True]})
        return shown


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6, help="the first is not timed")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        setting = Setting(options.steps, own=False)
        print(json.dumps(sft.measured(setting, *sft.train(setting, options.contender))))
        return
    results = side_by_side.play(__file__, CONTENDERS, options.rounds, ("--steps", options.steps))
    side_by_side.check_same_losses(results, CONTENDERS, tolerance=0.02)
    side_by_side.store(
        side_by_side.compare(f"adapter/{name}", results, "ours", peers, **kind)
        for name, peers in (("bare", BARE), ("transformers", ("transformers",)))
        for kind in (sft.SPEED, sft.MEMORY)
    )


if __name__ == "__main__":
    sys.exit(main())
