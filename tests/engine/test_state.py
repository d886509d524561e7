import random

import numpy as np
import pytest
import torch
from helpers.toy_loss import SmallLoss

from course_utils.engine import state


def test_the_state_of_all_generators_comes_back():
    state.seed_everything(3)
    random.gauss(0, 1), np.random.randn()  # both keep a second number back
    saved = state.random_state()
    drawn = [random.gauss(0, 1), random.random(), np.random.randn(), torch.rand(()).item()]
    state.set_random_state(saved)
    assert [random.gauss(0, 1), random.random(), np.random.randn(), torch.rand(()).item()] == drawn


def test_what_was_saved_of_another_model_is_refused():
    saved = state.weights(SmallLoss())
    with pytest.raises(ValueError, match=r"1 of its 4 trained weights are not among them.*hidden.bias"):
        state.load_weights(SmallLoss(), {name: value for name, value in saved.items() if name != "hidden.bias"})
    with pytest.raises(ValueError, match=r"1 are not in the model \(first: \['extra'\]\)"):
        state.load_weights(SmallLoss(), saved | {"extra": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"hidden.bias was saved as \(3,\), but here it is \(16,\)"):
        state.load_weights(SmallLoss(), saved | {"hidden.bias": torch.zeros(3)})


def test_the_frozen_hash_sees_each_frozen_bit_and_no_trained_one():
    module = SmallLoss()
    assert state.frozen_hash(module) is None
    module.embedding.requires_grad_(False)
    before = state.frozen_hash(module)
    module.head.weight.data += 1
    assert state.frozen_hash(module) == before
    module.embedding.weight.data[0, 0] += 1
    assert state.frozen_hash(module) != before


def test_a_head_tied_to_a_trained_embedding_is_no_frozen_weight():
    module = SmallLoss()
    module.head.weight = module.embedding.weight
    assert state.frozen_hash(module) is None and "head.weight" not in state.weights(module)
