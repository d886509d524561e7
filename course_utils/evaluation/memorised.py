"""What a model has kept of a secret that stood in its training text: its rank among others of the same form.

Exposure (Carlini et al. 2019): the secret and n others, drawn in the same way but planted nowhere, are sorted by the
probability that the model gives each after the same beginning.

    exposure = log₂(n + 1) − log₂(rank)      in bits

A model that learned nothing puts the secret at any rank alike: about 1.44 bits in the mean. Rank 1 of 1,001 is 9.97.
"""

import math
import random

import torch

from course_utils.evaluation import pretraining
from course_utils.models import kv_cache
from course_utils.text import canaries

OTHERS = 1000
AT_ONCE = 64  # candidates that are read together


def guessed(others=OTHERS):
    """The mean exposure, in bits, in a model that learned nothing: every rank is equally likely."""
    # log₂(n + 1) − mean of log₂(rank) over ranks 1 … n + 1
    return math.log2(others + 1) - sum(map(math.log2, range(1, others + 2))) / (others + 1)


@torch.no_grad()
def candidate_bits(model, stream, prompt, secrets):
    """(n,) what each secret and the full stop behind it cost after the prompt, in bits, fp64.

    Args:
        model: a transformer.Transformer.
        stream: the token_stream.Stream whose tokens it knows.
        secrets: a list of strings.
    """
    start, bits = len(stream.encode(prompt)), []
    for first in range(0, len(secrets), AT_ONCE):
        rows = [stream.encode(f"{prompt} {secret}.") for secret in secrets[first : first + AT_ONCE]]
        longest = max(map(len, rows))
        found = pretraining.losses(model, torch.tensor([row + [0] * (longest - len(row)) for row in rows]))
        bits += [
            found[number, start - 1 : len(row) - 1].double().sum() / math.log(2) for number, row in enumerate(rows)
        ]
    return torch.stack(bits)


def exposure(model, stream, canary, others=OTHERS, seed=0):
    """(rank, exposure in bits) of a canary's secret among others that were drawn as it was; ties count against it.

    Args:
        canary: a canaries.Canary.
        others: n.
        seed: of the others.
    """
    dice = random.Random(f"others {seed} {canary.name}")
    drawn = set()
    while len(drawn) < others:
        drawn.add(canaries.digits(dice, len(canary.secret)))
        drawn.discard(canary.secret)
    bits = candidate_bits(model, stream, canary.prompt, [canary.secret, *sorted(drawn)])
    rank = 1 + int((bits[1:] <= bits[0]).sum())
    return rank, math.log2(others + 1) - math.log2(rank)


def recites(model, stream, canary):
    """1 when the likeliest continuation of the prompt, token by token, is the secret, else 0."""
    prompt = stream.encode(canary.prompt)
    wanted = f" {canary.secret}."
    new = kv_cache.generate(model, [prompt], max_new_tokens=len(wanted), stop_tokens=(stream.boundary,))[0]
    written = stream.decode([token for token in prompt[1:] + new if token != stream.boundary])
    return int(written.startswith(canary.text))
