"""Contestants that continue the same openings of film reviews, from the base model to PPO and to a person.

    base        the pre-trained model, which goes on with the opening as plain text
    prompted    the same behind eight sentences of reviews, one a line
    sft, ppo    notebook 07's adapter and what notebook 09 made of it, on one backbone
    four bits   PPO's adapter on a base model whose weights were rounded to NF4
    instruct    the model that others tuned, asked in its own turns
    retrieval   a chatbot of the old kind: how the review goes on whose beginning is nearest by TF-IDF of letters
    empty       broken: it ends at once
    person      a person's own sentence that begins so; what nobody here wrote

Shapes: P openings, M contestants.
"""

from dataclasses import dataclass

import torch

from course_utils.adapters import switching
from course_utils.data import instructions, lexicon, reviews
from course_utils.data.dialogue import first_token
from course_utils.data.preference import PROMPT
from course_utils.models import sampling
from course_utils.models.base import load_base, load_chat
from course_utils.models.fused_forward import fast_blocks
from course_utils.quantization import layers, nf4
from course_utils.training.actor import POLICY, REFERENCE

SHOWN = 8  # sentences before the opening of "prompted"
MODELS = ("base", "prompted", "sft", "ppo", "four bits", "instruct")
NAMES = (*MODELS, "retrieval", "empty", "person")


@dataclass(frozen=True)
class Answers:
    """What a contestant wrote: P texts, each with its opening, and whether each ended by itself."""

    texts: tuple[str, ...]
    ended: tuple[bool, ...]


def people(openings):
    """{opening: sentences by people that begin with it}, of any split, so that a judge may have learned from some.

    Args:
        openings: texts of three words.

    Raises:
        ValueError: nobody wrote a sentence that begins with one of them.
    """
    found = {opening.lower(): [] for opening in openings}
    for text in reviews.load("movies", "all")["text"]:
        start = " ".join(text.split()[:3]).lower()
        if start in found:
            found[start].append(" ".join(text.split()))
    if missing := [opening for opening in openings if not found[opening.lower()]]:
        raise ValueError(f"No review begins with {missing[0]!r}. Take openings from `data.openings`.")
    return {opening: found[opening.lower()] for opening in openings}


def written(pieces, openings, *, new_tokens, seed):
    """{name: Answers} of every contestant of NAMES.

    Args:
        pieces: a `training.rlhf.Pieces` whose policy was trained.
        openings: P texts. new_tokens: of an answer at most. seed: of the samples; temperature 1.
    """
    how = {"new_tokens": new_tokens, "seed": seed}
    turns = pieces.turns
    asked = [turns.prompt(PROMPT, opening) for opening in openings]
    found, peft = {}, pieces.actor.model
    for name, adapter in (("sft", REFERENCE), ("ppo", POLICY)):
        with switching.using(peft, adapter):
            found[name] = _sampled(peft.get_base_model(), pieces.tokenizer, asked, openings, [turns.end], **how)
    plain, tokenizer = load_base()
    start, ends = first_token(tokenizer), _line_ends(tokenizer)
    encode = lambda text: tokenizer(text, add_special_tokens=False).input_ids  # noqa: E731
    before = "".join(f"{text}\n" for text in instructions.film_sentences("train")["answer"][:SHOWN])
    for name, shown in (("base", ""), ("prompted", before)):
        rows = [[*start, *encode(shown + opening)] for opening in openings]
        found[name] = _sampled(plain, tokenizer, rows, openings, ends, **how)
    rounded = switching.add(rounded_to_four_bits(plain), POLICY, weights=switching.weights_of(peft, POLICY))
    with switching.using(rounded, POLICY):
        found["four bits"] = _sampled(rounded.get_base_model(), tokenizer, asked, openings, [turns.end], **how)
    del plain, rounded
    found["instruct"] = instruct(openings, **how)
    return found | without_a_model(openings)


def rounded_to_four_bits(model):
    """The model with every linear weight of its blocks rounded to NF4 in blocks of 64, in place."""
    with torch.no_grad():
        for layer in layers.linear_layers(model).values():
            layer.weight.copy_(nf4.quantize(layer.weight, block=64).dequantize())
    return model


def instruct(openings, *, new_tokens, seed):
    """Answers of the instruct model: asked in its own turns, its answer begun with the opening."""
    model, tokenizer = load_chat()
    said = tokenizer.apply_chat_template(
        [{"role": "user", "content": PROMPT}], tokenize=False, add_generation_prompt=True
    )
    rows = [tokenizer(said + opening, add_special_tokens=False).input_ids for opening in openings]
    ends = model.generation_config.eos_token_id
    return _sampled(
        model, tokenizer, rows, openings, ends if isinstance(ends, list) else [ends], new_tokens=new_tokens, seed=seed
    )


def without_a_model(openings):
    """{"retrieval", "empty", "person": Answers}."""
    own = [people(openings)[opening][0] for opening in openings]
    everyone = (True,) * len(openings)
    return {
        "retrieval": Answers(tuple(retrieved(openings)), everyone),
        "empty": Answers(tuple(openings), everyone),
        "person": Answers(tuple(own), everyone),
    }


def retrieved(openings):
    """P sentences: behind each opening the rest of the training review with the nearest beginning that is another."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    given = {opening.lower() for opening in openings}
    split = [text.split() for text in reviews.load("movies", "train")["text"]]
    known = [words for words in split if len(words) > 6 and " ".join(words[:3]).lower() not in given]
    features = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
    table = features.fit_transform([" ".join(words[:3]) for words in known])
    nearest = (features.transform(openings) @ table.T).argmax(axis=1).A1
    return [f"{opening} {' '.join(known[place][3:])}" for opening, place in zip(openings, nearest, strict=True)]


def _line_ends(tokenizer):
    breaks = {ids[0] for line in ("\n", "\n\n") if len(ids := tokenizer(line, add_special_tokens=False).input_ids) == 1}
    return sorted({tokenizer.eos_token_id, *breaks})


def _sampled(model, tokenizer, prompts, openings, ends, *, new_tokens, seed):
    with fast_blocks(model):
        samples = sampling.sample(model, prompts, max_new_tokens=new_tokens, stop_tokens=ends, seed=seed)
    before = [tokenizer(opening, add_special_tokens=False).input_ids for opening in openings]  # decoded together
    whole = [[*start, *sample.tokens] for start, sample in zip(before, samples, strict=True)]
    texts = [" ".join(tokenizer.decode(tokens, skip_special_tokens=True).split()) for tokens in whole]
    return Answers(tuple(texts), tuple(sample.stopped for sample in samples))


def judged(pieces, answers):
    """{judge: (P, M)} scores by the gold judge, the proxy, the word list and the number of words.

    Args:
        pieces: with the judges. answers: {name: Answers}.
    """

    def learned(scorer):
        return lambda own: scorer([PROMPT] * len(own.texts), list(own.texts), list(own.ended)).tolist()

    judges = {
        "gold": learned(pieces.gold),
        "proxy": learned(pieces.proxy),
        "lexicon": lambda own: [lexicon.score(text) for text in own.texts],
        "words": lambda own: [float(len(text.split())) for text in own.texts],
    }
    rows = {name: [judge(own) for own in answers.values()] for name, judge in judges.items()}
    return {name: torch.tensor(columns, dtype=torch.float64).T for name, columns in rows.items()}
