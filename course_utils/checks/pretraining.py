"""Checkers of notebook 03: who may see whom in a packed row, a schedule of three parts, where a head looks."""

from course_utils.checks import feedback

END = 9  # the boundary in the cases below
_ROWS = (
    ([END, 1, 2, END, 3],),
    ([1, 2, END, 3, 4, 5],),
    ([END, END, 1],),
    ([4, 5, 6],),
)
_SCHEDULE = (  # step, steps, warm-up, fall, peak
    (1, 100, 10, 20, 0.5), (10, 100, 10, 20, 0.5), (11, 100, 10, 20, 0.5), (80, 100, 10, 20, 0.5),
    (81, 100, 10, 20, 0.5), (90, 100, 10, 20, 0.5), (100, 100, 10, 20, 0.5), (3, 12, 4, 4, 0.02), (12, 12, 4, 4, 0.02),
)  # fmt: skip
_SEQUENCES = (
    ([5, 7, 8, 5],),
    ([1, 2, 3, 1, 2, 3],),
    ([4, 6, 4, 7, 4],),
    ([1, 1, 1],),
    ([1, 2, 3],),
)


def check_visible(visible):
    """Check a function (tokens of a row, boundary) → for each token a list: may it see the token there?"""
    return feedback.verdict(
        visible,
        [(tokens, END) for (tokens,) in _ROWS],
        _visible_problem,
        f"right in {len(_ROWS)} rows: what came before, in one's own document, and the boundary that begins it.",
    )


def check_schedule(rate):
    """Check a function (step, steps, warm-up, fall, peak) → learning rate: up, level, and down in the last steps."""
    return feedback.verdict(
        rate,
        _SCHEDULE,
        _schedule_problem,
        "right: up in the first steps, level between, and down to a step short of zero; a level run can go on.",
    )


def check_follower(follower):
    """Check a function (tokens) → for each place the place an induction head looks at, −1 where there is none."""
    return feedback.verdict(
        follower,
        _SEQUENCES,
        _follower_problem,
        f"right in {len(_SEQUENCES)} sequences: behind the latest earlier place of the same token.",
    )


def _visible(tokens, boundary):
    documents, number = [], 0
    for token in tokens:
        number += token == boundary
        documents.append(number)
    places = range(len(tokens))
    return [[there <= here and documents[there] == documents[here] for there in places] for here in places]


def _visible_problem(result, tokens, boundary):
    tokens, boundary = [int(token) for token in tokens], int(boundary)
    expected, given = _visible(tokens, boundary), feedback.numbers(result)
    if given is None or given.shape != (len(tokens), len(tokens)):
        return f"for {tokens} expected a table of {len(tokens)} by {len(tokens)}; got {feedback.short(result)}."
    places = [(here, there) for here in range(len(tokens)) for there in range(len(tokens))]
    wrong = [pair for pair in places if bool(given[pair]) != expected[pair[0]][pair[1]]]
    if not wrong:
        return None
    here, there = wrong[0]
    if expected[here][there]:
        why = "each token sees itself" if here == there else "both are of one document, and it came before"
        return f"in {tokens} token {here} must see token {there}: {why}. A boundary begins its document."
    if there > here:
        return f"in {tokens} token {here} sees token {there}, which comes after it: that is what it shall predict."
    return f"in {tokens} token {here} sees token {there}, of the document before. Count the boundaries up to each."


def _rate(step, steps, warmup, fall, peak):
    if step <= warmup:
        return peak * step / warmup
    return peak * min(1.0, (steps + 1 - step) / (fall + 1))


def _schedule_problem(result, step, steps, warmup, fall, peak):
    step, steps, warmup, fall, peak = int(step), int(steps), int(warmup), int(fall), float(peak)
    expected = _rate(step, steps, warmup, fall, peak)
    if feedback.close(result, expected):
        return None
    slip = "Between warm-up and fall the rate stays at its peak."
    if step <= warmup:
        slip = "In the warm-up it rises by the same amount each step and is at the peak with its last."
    elif step > steps - fall:
        slip = "In the last steps it falls by the same amount each step, so that one step more would reach 0."
    return (
        f"at step {step} of {steps}, {warmup} to warm up and {fall} to fall, peak {peak}, you gave "
        f"{feedback.short(result)}, expected {expected:.6g}. {slip}"
    )


def _follower(tokens):
    found = []
    for place, token in enumerate(tokens):
        earlier = [other for other in range(place) if tokens[other] == token]
        found.append(earlier[-1] + 1 if earlier else -1)
    return found


def _follower_problem(result, tokens):
    tokens = [int(token) for token in tokens]
    expected, given = _follower(tokens), feedback.numbers(result)
    if given is None or given.shape != (len(tokens),):
        return f"for {tokens} expected {len(tokens)} places; got {feedback.short(result)}."
    wrong = [place for place in range(len(tokens)) if given[place] != expected[place]]
    if not wrong:
        return None
    place = wrong[0]
    slip = "It looks behind the latest earlier place of the same token."
    if expected[place] < 0:
        slip = "This token has not stood before, so there is nothing to look at: −1."
    elif given[place] == expected[place] - 1:
        slip = "That is the earlier token itself; what helps is the one that followed it."
    return f"in {tokens} at place {place} you gave {given[place]:g}, expected {expected[place]}. {slip}"
