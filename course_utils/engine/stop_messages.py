"""What to say when a run must stop: where, why, what remains, and what to try."""

import torch


def is_out_of_memory(error):
    """Whether an error means that memory did not suffice, on a GPU or on the CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text


def what_remains(steps, again="; run the same again to go on from there"):
    """One sentence on the checkpoints that are left, newest first; `again` is said where the same may end otherwise."""
    if not steps:
        return "There is no checkpoint yet, so the next run starts from step 0."
    return f"The checkpoint of step {steps[0]} is kept{again}."


def explain(why, step, recipe, rows, history, steps, advice=None):
    """The message of a run that stops itself.

    Args:
        why: what was seen, as half a sentence.
        step: the optimizer step that was not taken.
        recipe: the run's TrainingRecipe, with the micro_batch that it has come to.
        rows: row numbers of the micro-batches concerned.
        history: the metrics of the step before, or nothing.
        steps: the checkpoints that are left.
        advice: what to try; by default what helps against a loss that is not finite.
    """
    where = f"Training stopped at step {step}, before its update: {why}"
    if rows:
        where += f" (rows {', '.join(str(row) for row in rows[:8])}{', …' if len(rows) > 8 else ''})"
    before = ""
    if history:
        norm = history[-1]["gradient_norm"]
        before = f" At step {step - 1} the loss was {history[-1]['loss']:.4g}, the gradient's norm " + (
            f"{norm:.4g}." if norm is not None else "not finite."
        )
    # the same recipe, rows and random numbers stop at the same place again
    return f"{where}.{before} {what_remains(steps, again='')}\n{advice or _advice(why, recipe)}"


def _advice(why, recipe):
    if "memory" in why:
        # these two may change in the middle of a run; prefix tuning knows no activation checkpointing
        tries = [f"micro_batch={recipe.micro_batch // 2}"] if recipe.micro_batch > 1 else []
        tries += (
            [] if recipe.activation_checkpointing or recipe.method == "prefix" else ["activation_checkpointing=True"]
        )
        return (
            f"Close other programs and run the same again{' with '.join(['', ' and '.join(tries)] if tries else [])}. "
            f"If that is not enough, take a shorter max_length (now {recipe.max_length}) or a smaller tier, in a new "
            "output folder."
        )
    return (
        f"Try a third of the learning rate (now {recipe.learning_rate:g}), more warm-up (now {recipe.warmup_steps} "
        f"steps) or a smaller clip (now {recipe.clip:g}) in a new output folder. If it stops at the same rows whatever "
        "you try, look at those rows; if the model is in float16, load it in float32 and let autocast choose."
    )
