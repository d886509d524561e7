"""Our sampler against transformers' `generate`, its slow head call patched: batch 16, 32 new tokens, temperature 1.

The base model is frozen, which is what every adapter samples from, so `generate` hits a head call that is hundreds of
times slower on a CPU (a strided slice times a frozen bf16 matrix); the peer has it repaired. No row may stop early, so
everybody writes exactly 512 tokens. That both sample one distribution is a test's business; here the mean
log-probability of what was written must agree.
"""

import argparse
import json
import sys
import time

import side_by_side

CONTENDERS = ("ours", "generate, patched")
BATCH, TOKENS = 16, 32


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(contend(options.contender)))
        return
    results = side_by_side.play(__file__, CONTENDERS, options.rounds)
    means = [sum(r["mean_logprob"] for r in results[name]) / options.rounds for name in CONTENDERS]
    if abs(means[0] - means[1]) > 0.4:
        raise RuntimeError(f"The contenders sample different distributions: mean log-probabilities {means}.")
    kind = {"key": "tokens_per_second", "metric": "speed", "unit": "tokens/s"}
    side_by_side.store([side_by_side.compare("sampler/generate", results, "ours", CONTENDERS[1:], **kind)])


def contend(name):
    """Write 16 × 32 tokens, once to warm up and then timed."""
    import torch

    from course_utils import runtime
    from course_utils.data import openings
    from course_utils.models.base import load_base

    runtime.start(quiet=True)
    model, tokenizer = load_base()
    prompts = [row["prompt_ids"] for row in openings.encode(openings.load("train", BATCH), tokenizer)]
    write = ours if name == "ours" else by_generate
    write(model, tokenizer, prompts, 4, seed=0)
    began = time.perf_counter()
    written = write(model, tokenizer, prompts, TOKENS, seed=1)
    seconds = time.perf_counter() - began
    assert all(len(row) == TOKENS for row in written)
    with torch.inference_mode():
        likely = [mean_logprob(model, prompt, row) for prompt, row in zip(prompts, written, strict=True)]
    return {"tokens_per_second": BATCH * TOKENS / seconds, "mean_logprob": sum(likely) / BATCH}


def ours(model, tokenizer, prompts, tokens, seed):
    from course_utils.models import sampling
    from course_utils.models.fused_forward import fast_blocks

    with fast_blocks(model):
        return [row.tokens for row in sampling.sample(model, prompts, max_new_tokens=tokens, seed=seed)]


def by_generate(model, tokenizer, prompts, tokens, seed):
    import torch

    repair_head(model)
    model.set_attn_implementation("sdpa")  # the library's
    longest = max(map(len, prompts))
    ids = torch.tensor([[tokenizer.pad_token_id] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    torch.manual_seed(seed)
    written = model.generate(
        input_ids=ids.to(model.device), attention_mask=mask.to(model.device), do_sample=True, temperature=1.0, top_k=0,
        top_p=1.0, max_new_tokens=tokens, min_new_tokens=tokens, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return written[:, longest:].tolist()


def repair_head(model):
    """Let the head see a contiguous matrix; the frozen strided slice is about 400 times slower on a CPU."""
    head = model.get_output_embeddings()
    plain = type(head).forward
    head.forward = lambda hidden: plain(head, hidden.contiguous())


def mean_logprob(model, prompt, row):
    import torch

    from course_utils.models.logprobs import token_logprobs

    ids = torch.tensor([[*prompt, *row]], device=model.device)
    hidden = model.base_model(ids).last_hidden_state[0, len(prompt) - 1 : -1]
    words = torch.tensor(list(row), device=model.device)
    return token_logprobs(hidden.contiguous(), model.get_output_embeddings().weight, words).mean().item()


if __name__ == "__main__":
    sys.exit(main())
