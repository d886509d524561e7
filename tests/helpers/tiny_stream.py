"""A stream of a few made documents, for tests that read no corpus; and a transformer small enough for it."""

from course_utils.models.transformer import TransformerConfig
from course_utils.text import token_stream
from course_utils.text.corpus import Document

VOCABULARY, LENGTH = 300, 16
WORDS = [
    "the", "rain", "in", "Spain", "falls", "mainly", "on", "a", "plain", "and", "old", "land", "where", "nobody",
    "sings", "about", "weather",
]  # fmt: skip
TEXTS = [" ".join(WORDS[(start * step) % 17 % len(WORDS)] for step in range(1, 40 + start)) for start in range(1, 40)]


def documents():
    """Forty documents of two sources."""
    return [Document(f"{'web' if n % 2 else 'news'}/{n}", "news", text) for n, text in enumerate(TEXTS)]


def make(folder, **choice):
    """The stream of these documents below a folder."""
    choice = {"documents": documents, "key": "tiny", "say": lambda line: None} | choice
    return token_stream.prepare(folder, VOCABULARY, **choice)


def config(**changed):
    """Two layers of width 16."""
    sizes = {"width": 16, "layers": 2, "heads": 2, "key_value_heads": 1, "head_width": 8, "mlp_width": 24, "window": 64}
    return TransformerConfig(**({"vocabulary": VOCABULARY, "context": 128} | sizes | changed))
