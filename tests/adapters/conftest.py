"""The small Gemma 3, and what its logits are."""

import pytest
from helpers import two_layer_gemma as small
from helpers.two_layer_gemma import CASES, shaken

from course_utils.adapters import library


@pytest.fixture(autouse=True)
def quick(one_thread):
    """Tensors this small are slower on two threads."""


@pytest.fixture(params=CASES, ids=str)
def case(request):
    """(method, sizes) of each method."""
    return CASES[request.param]


@pytest.fixture
def base():
    return small.build().eval()


@pytest.fixture
def logits():
    """A function: model → logits at the real tokens of a padded batch."""
    ids, real, _ = small.batch()

    def of(model):
        return model(input_ids=ids, attention_mask=real.long()).logits[:, -ids.shape[1] :][real]

    return of


@pytest.fixture
def ours():
    """A function: (method, sizes) → a small model with our adapter, its weights drawn at random."""

    def build(method, sizes, seed=0, **options):
        model = library.OURS[method](small.build(**options).eval(), **sizes)
        return shaken(model, seed)

    return build
