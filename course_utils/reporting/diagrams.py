"""Where each adapter method puts what it trains, drawn: trained boxes filled in our colour, frozen ones in grey."""

from dataclasses import dataclass

from matplotlib.patches import FancyBboxPatch

from course_utils.reporting import plots

HEIGHT = 0.8  # of a box, in the drawing's units; boxes are given by their centres


@dataclass(frozen=True)
class Diagram:
    """A drawing.

    title: stands above it.
    boxes: {name: (text, x, y, width, kind)}; kind is "trained", "frozen", or "data" for what flows through.
    arrows: pairs of names, from the one to the other.
    alt: what there is to see, in words.
    """

    title: str
    boxes: dict
    arrows: tuple
    alt: str


def _row(prefix, texts, x, y, width, kind):
    """Boxes side by side, from x on."""
    return {f"{prefix}{n}": (text, x + n * (width + 0.15), y, width, kind) for n, text in enumerate(texts)}


_READ = ("The", "film", "was", "…")
DIAGRAMS = {
    "lora": Diagram(
        "LoRA: a small detour beside each frozen matrix",
        {
            "x": ("x", 0.6, 1.2, 0.8, "data"),
            "w": ("W, frozen", 4.2, 2.0, 3.0, "frozen"),
            "a": ("A: down to r", 3.2, 0.4, 2.2, "trained"),
            "b": ("B: up again", 6.0, 0.4, 2.2, "trained"),
            "+": ("+", 8.2, 1.2, 0.8, "data"),
            "h": ("W x + (α/r) B A x", 11.0, 1.2, 3.2, "data"),
        },
        (("x", "w"), ("x", "a"), ("a", "b"), ("w", "+"), ("b", "+"), ("+", "h")),
        "The input goes two ways: through the frozen matrix W, and through two small trained matrices, A and then B; "
        "the two results are added",
    ),
    "prefix": Diagram(
        "Prefix tuning: learned keys and values in every layer",
        _row("p", ("k₁ v₁", "k₂ v₂", "…", "k₂₀ v₂₀"), 0.9, 2.0, 1.5, "trained")
        | _row("t", [f"k v of\n{word}" for word in _READ], 7.8, 2.0, 1.5, "frozen")
        | {"q": ("query of the newest token", 6.83, 0.4, 13.36, "data")},
        (*(("q", f"{kind}{n}") for kind in "pt" for n in range(4)),),
        "One layer's row of keys and values: the first places are learned, the others belong to the text; the query "
        "looks at both. Every layer has such a row of its own",
    ),
    "prompt": Diagram(
        "Prompt tuning: learned vectors before the first layer",
        {"m": ("18 blocks, frozen", 6.73, 2.0, 13.16, "frozen")}
        | _row("p", ("p₁", "p₂", "…", "p₂₀"), 0.9, 0.4, 1.5, "trained")
        | _row("t", _READ, 7.6, 0.4, 1.5, "data"),
        tuple((f"{kind}{n}", "m") for kind in "pt" for n in range(4)),
        "A row of vectors under a frozen model: the first are learned, the others are the embeddings of the text; "
        "nothing inside the model is trained",
    ),
    "p-tuning": Diagram(
        "P-tuning: an encoder writes the vectors, and is thrown away",
        {"m": ("18 blocks, frozen", 6.73, 3.9, 13.16, "frozen"), "e": ("encoder, shared", 3.38, 1.3, 6.45, "trained")}
        | _row("e", ("e₁", "e₂", "…", "e₂₀"), 0.9, 0.0, 1.5, "trained")
        | _row("p", ("p₁", "p₂", "…", "p₂₀"), 0.9, 2.6, 1.5, "data")
        | _row("t", _READ, 7.6, 2.6, 1.5, "data"),
        tuple(pair for n in range(4) for pair in ((f"e{n}", "e"), ("e", f"p{n}"), (f"p{n}", "m"), (f"t{n}", "m"))),
        "Learned inputs go through a trained encoder that all of them share; what comes out stands before the text "
        "under the frozen model. After training only the vectors that came out are kept",
    ),
    "ia3": Diagram(
        "IA3: factors on what a block computes",
        {
            "x": ("x", 0.6, 1.2, 0.8, "data"),
            "k": ("keys, frozen", 3.4, 2.4, 2.6, "frozen"),
            "v": ("values, frozen", 3.4, 1.2, 2.6, "frozen"),
            "f": ("MLP, frozen", 3.4, 0.0, 2.6, "frozen"),
            "lk": ("⊙ l for keys", 6.8, 2.4, 2.4, "trained"),
            "lv": ("⊙ l for values", 6.8, 1.2, 2.4, "trained"),
            "lf": ("⊙ l inside", 6.8, 0.0, 2.4, "trained"),
            "h": ("on through the block", 10.8, 1.2, 3.4, "data"),
        },
        (
            ("x", "k"),
            ("x", "v"),
            ("x", "f"),
            ("k", "lk"),
            ("v", "lv"),
            ("f", "lf"),
            ("lk", "h"),
            ("lv", "h"),
            ("lf", "h"),
        ),
        "Keys, values and the middle of the MLP are computed by frozen matrices and then multiplied, channel by "
        "channel, with trained factors",
    ),
}


def show(name):
    """Draw one of DIAGRAMS: filled boxes are trained, grey ones frozen, white ones are data.

    Raises:
        ValueError: there is no such diagram.
    """
    if name not in DIAGRAMS:
        raise ValueError(f"There is no diagram {name!r}; expected one of {', '.join(DIAGRAMS)}.")
    drawn = DIAGRAMS[name]
    levels = len({y for _, _, y, _, _ in drawn.boxes.values()})
    with plots.axes(title=drawn.title, xlabel="", ylabel="", size=(11, 1.2 + 0.8 * levels), alt=drawn.alt) as ax:
        for start, end in drawn.arrows:
            _arrow(ax, drawn.boxes[start], drawn.boxes[end])
        for box in drawn.boxes.values():
            _box(ax, *box)
        ax.autoscale_view()
        ax.axis("off")


def _box(ax, text, x, y, width, kind):
    face, letters = {"trained": (plots.OURS, "white"), "frozen": (plots.MUTED, "black"), "data": ("white", "black")}[
        kind
    ]
    corner = (x - width / 2, y - HEIGHT / 2)
    style = {"boxstyle": "round,pad=0,rounding_size=0.12", "facecolor": face, "edgecolor": "#333333", "zorder": 2}
    ax.add_patch(FancyBboxPatch(corner, width, HEIGHT, **style))
    ax.text(x, y, text, ha="center", va="center", color=letters, fontsize=13, zorder=3)


def _arrow(ax, start, end):
    """To the right where the second box begins behind the first, else up."""
    (_, x, y, width, _), (_, to_x, to_y, to_width, _) = start, end
    begin, finish = (x + width / 2, y), (to_x - to_width / 2, to_y)
    if to_x - to_width / 2 < x + width / 2:  # not side by side
        narrow, wide = sorted((start, end), key=lambda box: box[3])
        if abs(narrow[1] - wide[1]) < wide[3] / 2:  # straight up, over the narrower one
            x = to_x = narrow[1]
        begin, finish = (x, y + HEIGHT / 2), (to_x, to_y - HEIGHT / 2)
    ax.annotate("", finish, begin, arrowprops={"arrowstyle": "->", "color": "#333333", "linewidth": 1.5}, zorder=1)
