import pytest
import torch
from helpers.toy_loss import HALF, RUN, SmallCollator, SmallLoss, make_rows

from course_utils.engine.loop import train
from course_utils.engine.recipe import TrainingRecipe


@pytest.fixture(autouse=True)
def one_thread():
    """Tensors this small are slower on two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def rows():
    return make_rows()


@pytest.fixture
def fit(tmp_path, rows):
    """fit(module=…, folder=…, rows=…, run=…, **recipe fields) -> (result, module, lines said)."""

    def call(module=None, folder="run", data=None, run=RUN, evaluate=None, go_on=True, **fields):
        sizes = {"steps": 10, "batch_size": 8, "learning_rate": 0.01, "method": "full", "save_every": 4} | fields
        module, said = module or SmallLoss(), []
        result = train(
            module, rows if data is None else data, SmallCollator(), TrainingRecipe(**sizes), tmp_path / folder,
            run=run, evaluate=evaluate, go_on=go_on, progress=False, say=said.append,
        )  # fmt: skip
        return result, module, said

    return call


@pytest.fixture
def half():
    return HALF
