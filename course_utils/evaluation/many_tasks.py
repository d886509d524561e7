"""One model asked six kinds of question, and a specialist for each: the same examples, texts, calibration and judge.

Whoever answers is a function `scores(task, examples, texts)` that returns (N, C) log p(label) up to a constant of each
row. `prompted` makes one of a model of transformers, `by_logits` of anything that gives logits, and `specialist` is one
already: it is trained on the examples that the others read. So all are calibrated by one rule and counted by one.

Shapes: N texts, C labels, S draws of examples, B rows, T tokens, V vocabulary.
"""

import torch

from course_utils.data.dialogue import first_token
from course_utils.evaluation import comparison
from course_utils.models import prefix


def prompted(model, tokenizer):
    """Ask a model of transformers: log p of each label's token, behind examples that are read once.

    Raises:
        ValueError: by what is returned, when the first tokens of two label words are the same.
    """

    def scores(task, examples, texts):
        encode = lambda text: tokenizer(text, add_special_tokens=False).input_ids  # noqa: E731
        labels = [encode(word)[0] for word in task.words]
        if len(set(labels)) < len(labels):
            raise ValueError(f"Label words of {task.name} begin with one token, of {task.words}. Choose others.")
        start = prefix.read_prefix(model, [*first_token(tokenizer), *encode(task.prompt(examples))])
        return prefix.label_logprobs(model, start, [encode(task.asked(text)) for text in texts], labels)

    return scores


def by_logits(logits, encode, *, context, rows=16):
    """Ask whatever gives logits, of tokens of any kind: a label's score is log p of all its tokens.

    Args:
        logits: (B, T) ids → (B, T, V) logits, of a model that looks to the left alone.
        encode: text → list of ids, which must put tokens side by side as texts stand side by side (bytes do).
        context: the most tokens that the model reads; of a longer prompt the first are left out.
        rows: rows read at a time.
    """

    def scores(task, examples, texts):
        before, words = encode(task.prompt(examples)), [encode(word) for word in task.words]
        wanted = [(before + encode(task.asked(text)) + word)[-context:] for text in texts for word in words]
        found = []
        for start in range(0, len(wanted), rows):
            batch = wanted[start : start + rows]
            ids = torch.zeros(len(batch), max(map(len, batch)), dtype=torch.long)
            for row, tokens in enumerate(batch):
                ids[row, : len(tokens)] = torch.tensor(tokens)  # pads stand to the right, where nothing is read
            with torch.inference_mode():
                logprobs = logits(ids[:, :-1]).float().log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
            for row, tokens in enumerate(batch):
                length = len(words[(start + row) % len(words)])
                found.append(logprobs[row, len(tokens) - 1 - length : len(tokens) - 1].sum().item())
        return torch.tensor(found).reshape(len(texts), len(words))

    return scores


def specialist(task, examples, texts):
    """The model that each task used to have: TF-IDF of words, word pairs and letters in a row, logistic regression.

    The weights of words (idf) come from the unlabelled texts as well, which is all that these can tell it.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_union

    known = [example.text for example in examples]
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True),
    ).fit([*known, *task.unlabelled])
    model = LogisticRegression(C=10.0, max_iter=2000)
    model.fit(features.transform(known), [example.label for example in examples])
    scores = torch.full((len(texts), len(task.words)), -30.0, dtype=torch.float64)  # a label never met
    scores[:, model.classes_] = torch.from_numpy(model.predict_log_proba(features.transform(texts)))
    return scores


def calibrated(scores, unlabelled):
    """Scores less each label's median on texts that nobody labelled: no word is favoured before anything was read.

    With two labels that is the threshold of `classification.calibrated_threshold`.

    Args:
        scores: (N, C). unlabelled: (M, C), scores of the other texts behind the same examples.
    """
    # between the middle two where M is even, so that both labels of two are treated alike
    return scores - torch.log_softmax(unlabelled, -1).quantile(0.5, dim=0)


def right(scores, labels):
    """(N,) float: 1 where the highest score is the label's. NaN is refused.

    Raises:
        ValueError: a score is NaN, or there is not one label a row.
    """
    labels = torch.as_tensor(labels)
    if len(labels) != len(scores) or scores.isnan().any():
        raise ValueError(f"Expected {len(labels)} rows of finite scores, got {len(scores)}, NaN in some or too many.")
    return (scores.argmax(-1) == labels).double()


def ask(answerer, task, examples):
    """{"raw", "calibrated": (N,) float of right answers} to the test part of a task behind some examples."""
    texts = [example.text for example in task.test]
    both = torch.log_softmax(answerer(task, examples, [*texts, *task.unlabelled]).double(), -1)
    asked, spare = both[: len(texts)], both[len(texts) :]
    return {"raw": right(asked, task.labels), "calibrated": right(calibrated(asked, spare), task.labels)}


def over_draws(answerer, task, shots, draws, *, progress=iter):
    """{"raw", "calibrated": (S, N)} over draws of so many examples; zero shots has one draw.

    Args:
        draws: how many draws; draw d is the same for every answerer.
    """
    rows = [ask(answerer, task, task.draw(shots, seed=draw)) for draw in progress(range(draws if shots else 1))]
    return {how: torch.stack([row[how] for row in rows]) for how in ("raw", "calibrated")}


def above(ours, rival):
    """The mean gain over a rival with its interval, over items and draws.

    Args:
        ours: (S, N) of right answers.
        rival: the same shape, or a number: the share that chance or the majority has right.
    """
    if isinstance(rival, float):
        return comparison.mean_interval(ours - rival)
    return comparison.paired_difference(ours, rival)


def level_at(curve, target):
    """The fewest rows from which a specialist, with these or more, has at least as many right as `target`; else None.

    Args:
        curve: {rows: accuracy}.
    """
    level = None
    for count in sorted(curve, reverse=True):
        if curve[count] < target:
            break
        level = count
    return level
