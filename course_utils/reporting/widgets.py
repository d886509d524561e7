"""Widgets for a lecturer's screen. Each has a plain function that does the same work, which tests and scripts call.

Only widgets and keywords that both ipywidgets 7.7 (Colab) and 8.1 have; bars are HTML, so nothing is drawn twice.
"""

import html
import math

import ipywidgets

from course_utils.data import instructions, prompts
from course_utils.evaluation import resources
from course_utils.models import sampling
from course_utils.reporting import plot_checks
from course_utils.reporting.plots import OURS, visible_token

_WIDE = {"width": "720px"}


def next_token_explorer(model, tokenizer, text):
    """A line of text, the ten most probable next tokens as bars, and a button that samples a continuation.

    Its plain twins are `sampling.top_next` and `sampling.continue_text`.
    """
    line = ipywidgets.Text(value=text, description="Text", continuous_update=False, layout=_WIDE)
    whole = {"description_width": "initial"}  # a long word is cut off otherwise
    temperature = ipywidgets.FloatSlider(value=1.0, min=0.0, max=2.0, step=0.1, description="temperature", style=whole)
    write = ipywidgets.Button(description="Write on")
    bars, written = ipywidgets.HTML(), ipywidgets.HTML()
    clicks = iter(range(1_000_000))

    def look(_=None):
        bars.value = bars_html(sampling.top_next(model, tokenizer, line.value))

    def go_on(_):
        more = sampling.continue_text(model, tokenizer, line.value, temperature=temperature.value, seed=next(clicks))
        written.value = f"<p style='max-width:720px'>{html.escape(line.value)}<b>{html.escape(more)}</b></p>"

    line.observe(look, names="value")
    write.on_click(go_on)
    look()
    return ipywidgets.VBox([line, bars, ipywidgets.HBox([write, temperature]), written])


def label_probabilities(judge, examples, text):
    """{label word: probability} of a review behind some examples; the plain twin of `example_editor`."""
    odds = judge.scores(examples, [text])[0].sigmoid().item()
    negative, positive = judge.template.words
    return {negative.strip(): 1 - odds, positive.strip(): odds}


def example_editor(judge, examples, text):
    """Examples whose words and labels can be changed, a review, and the two label probabilities that follow."""
    words = [word.strip() for word in judge.template.words]
    lines = [ipywidgets.Text(value=e.text, continuous_update=False, layout={"width": "600px"}) for e in examples]
    labels = [ipywidgets.Dropdown(options=words, value=words[e.label], layout={"width": "120px"}) for e in examples]
    question = ipywidgets.Text(value=text, description="Review", continuous_update=False, layout=_WIDE)
    bars = ipywidgets.HTML()

    def judge_again(_=None):
        shown = [
            prompts.Example(line.value, words.index(label.value))
            for line, label in zip(lines, labels, strict=True)
            if line.value.strip()  # an emptied line takes its example out
        ]
        bars.value = bars_html(list(label_probabilities(judge, shown, question.value).items()))

    for widget in (*lines, *labels, question):
        widget.observe(judge_again, names="value")
    judge_again()
    rows = [ipywidgets.HBox(pair) for pair in zip(lines, labels, strict=True)]
    return ipywidgets.VBox([*rows, question, bars])


def bars_html(pairs):
    """(name, probability) pairs as bars in HTML, with the numbers written out."""
    pairs = plot_checks.probabilities(pairs)
    widest = max(probability for _, probability in pairs) or 1.0
    cell, bar = "padding:2px 8px;font-size:16px", f"background:{OURS};height:16px"
    rows = "".join(
        f"<tr><td style='{cell};text-align:right;font-family:monospace'>{html.escape(visible_token(name))}</td>"
        f"<td style='{cell}'><div style='{bar};width:{360 * probability / widest:.0f}px'></div></td>"
        f"<td style='{cell}'>{probability:.1%}</td></tr>"
        for name, probability in pairs
    )
    return f"<table>{rows}</table>"


def mask_viewer(tokenizer, question, answer):
    """A question and an answer to write, and below them the tokens of the dialogue; what is learned stands out.

    Its plain twin is `instructions.encode_dialogue`.
    """
    asked = ipywidgets.Textarea(value=question, description="user", continuous_update=False, layout=_WIDE)
    said = ipywidgets.Textarea(value=answer, description="model", continuous_update=False, layout=_WIDE)
    shown = ipywidgets.HTML()

    def look(_=None):
        messages = instructions.dialogue({"prompt": asked.value, "answer": said.value})
        shown.value = mask_html(tokenizer, *instructions.encode_dialogue(messages, tokenizer))

    for widget in (asked, said):
        widget.observe(look, names="value")
    look()
    return ipywidgets.VBox([asked, said, shown])


def mask_html(tokenizer, ids, mask):
    """Tokens as boxes; those that the mask counts are filled."""
    box = "display:inline-block;margin:2px;padding:2px 5px;border-radius:4px;font-family:monospace;font-size:16px;"
    styles = {True: box + f"background:{OURS};color:white", False: box + "background:#eeeeee;color:#555555"}
    tokens = (html.escape(visible_token(tokenizer.decode([token]))) for token in ids)
    spans = [
        f"<span style='{styles[bool(learned)]}'>{token}</span>" for token, learned in zip(tokens, mask, strict=True)
    ]
    return f"<div style='max-width:720px'>{''.join(spans)}</div>"


def pair_rater(rating, *, told="{right} of {all} as the panel chose"):
    """Two texts and a button for each, pair after pair; what was chosen lasts.

    Its plain twin is `rating.Rating.choose`.

    Args:
        rating: a rating.Rating.
        told: what is said after the last pair.
    """
    shown = ipywidgets.HTML()
    buttons = [ipywidgets.Button(description=f"{side} is better") for side in ("A", "B")]

    def look():
        if rating.open:
            shown.value = pair_html(*rating.sides(rating.open[0]), left=len(rating.open))
        else:
            found = told.format(right=int(rating.right.sum()), all=len(rating.pairs))
            shown.value = f"<p style='font-size:16px'>Done: {found}.</p>"

    def choose(side):
        if rating.open:
            rating.choose(rating.open[0], side)
        look()

    for button, side in zip(buttons, ("A", "B"), strict=True):
        button.on_click(lambda _, side=side: choose(side))
    look()
    return ipywidgets.VBox([shown, ipywidgets.HBox(buttons)])


def pair_html(first, second, *, left):
    """Two texts side by side, and how many pairs are left."""
    cell = "padding:8px 16px;font-size:16px;vertical-align:top;width:340px"
    texts = "".join(
        f"<td style='{cell}'><b>{side}</b> {html.escape(text)}</td>" for side, text in (("A", first), ("B", second))
    )
    return f"<table><tr>{texts}</tr></table><p>{left} to go</p>"


def training_calculator(model="Llama 3 405B", chip="H100", chips=16_000):
    """Model, tokens, chips and utilisation to move; below them FLOPs, days, energy and money.

    Its plain twin is `training_html`, over the functions of `resources`.
    """
    wide = {"description_width": "initial"}
    of = ipywidgets.Dropdown(options=list(resources.MODELS), value=model, description="model")
    on = ipywidgets.Dropdown(options=list(resources.CHIPS), value=chip, description="chip")
    count = ipywidgets.BoundedIntText(value=chips, min=1, max=1_000_000, description="chips")
    used = ipywidgets.FloatSlider(value=0.4, min=0.05, max=0.9, step=0.05, description="utilisation", style=wide)
    hour = ipywidgets.BoundedFloatText(value=2.0, min=0.01, max=100, step=0.5, description="$ an hour", style=wide)
    shown = ipywidgets.HTML()

    def look(_=None):
        shown.value = training_html(of.value, on.value, count.value, used.value, hour.value)

    return _calculator([of, on, count, used, hour], look, shown)


def training_html(model, chip, chips, utilisation, hour):
    """A table of what training a model costs; arguments as the widget has them."""
    model, chip = resources.MODELS[model], resources.CHIPS[chip]
    flops = resources.training_flops(model.parameters, model.tokens)
    days = resources.training_days(flops, chip, chips, utilisation=utilisation)
    return _facts(
        {
            "FLOPs": f"{flops:.2e}",
            "memory for weights and optimiser": f"{resources.training_bytes(model.parameters) / 1e9:,.0f} GB",
            "chips that this fills": f"{resources.training_bytes(model.parameters) / chip.memory:,.1f}",
            "days": f"{days:,.1f}",
            "energy": f"{resources.energy_kwh(days, chip, chips):,.0f} kWh",
            "rent": f"${resources.money(days, chips, hour=hour):,.0f}",
        }
    )


def serving_calculator(model="Llama 3 8B", chip="H100", users=16, tokens=2000):
    """Model, chip, users and their tokens to move; below them cache, speed and the price of a million answers.

    Its plain twin is `serving_html`.
    """
    of = ipywidgets.Dropdown(options=list(resources.MODELS), value=model, description="model")
    on = ipywidgets.Dropdown(options=list(resources.CHIPS), value=chip, description="chip")
    many = ipywidgets.BoundedIntText(value=users, min=1, max=100_000, description="users")
    each = ipywidgets.BoundedIntText(value=tokens, min=1, max=1_000_000, description="tokens each")
    shown = ipywidgets.HTML()

    def look(_=None):
        shown.value = serving_html(of.value, on.value, many.value, each.value)

    return _calculator([of, on, many, each], look, shown)


def serving_html(model, chip, users, tokens):
    """A table of what serving a model costs, on as many chips as its weights and caches fill."""
    model, chip = resources.MODELS[model], resources.CHIPS[chip]
    cache = resources.cache_bytes(model, tokens)
    chips = max(1, -(-int(model.parameters * 2 + users * cache) // int(chip.memory)))
    served = resources.answers(model, chip, users, tokens, chips=chips)
    return _facts(
        {
            "chips that weights and caches fill": f"{chips:,}",
            "cache of one user": f"{cache / 1e6:,.1f} MB",
            "tokens a second, all users": f"{served['tokens_a_second']:,.0f}",
            "tokens a second, one user": f"{served['per_user']:,.1f}",
            "a million answers of 200 tokens": f"${served['dollars']:,.0f}, {served['kwh']:,.0f} kWh",
        }
    )


def budget_calculator(laws, power=24.0):
    """A budget of compute to move; below it the best size and tokens by each law, and what was done in fact.

    Its plain twin is `budget_html`.

    Args:
        laws: {name: scaling.Law}.
        power: of ten, in FLOPs, at first.
    """
    budget = ipywidgets.FloatSlider(value=power, min=11, max=27, step=0.25, description="10^ FLOPs")
    shown = ipywidgets.HTML()

    def look(_=None):
        shown.value = budget_html(laws, budget.value)

    return _calculator([budget], look, shown)


def budget_html(laws, power):
    """A table: weights, tokens and tokens a weight for 10^power FLOPs by each law, and of Llama 3, which spent more on
    tokens than any law asks, since every answer that a smaller model gives is cheaper."""
    best = {name: law.optimum(10**power) for name, law in laws.items()}
    done = {name: model for name, model in resources.MODELS.items() if name.startswith("Llama 3")}
    rows = best | {
        f"{name}, 10^{math.log10(resources.training_flops(model.parameters, model.tokens)):.1f} FLOPs in fact": (
            model.parameters, model.tokens,
        )
        for name, model in done.items()
    }  # fmt: skip
    return _facts({name: f"{n:.2e} weights, {d:.2e} tokens, {d / n:,.1f} a weight" for name, (n, d) in rows.items()})


def _calculator(controls, look, shown):
    for widget in controls:
        widget.observe(look, names="value")
    look()
    return ipywidgets.VBox([*controls, shown])


def _facts(facts):
    cell = "padding:2px 12px;font-size:16px"
    rows = "".join(
        f"<tr><td style='{cell}'>{name}</td><td style='{cell}'><b>{of}</b></td></tr>" for name, of in facts.items()
    )
    return f"<table>{rows}</table>"
