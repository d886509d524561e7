"""Looking through a model folder; what is refused stands in test_hostile_folders."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from course_utils.models import model_folder


def test_a_good_folder_passes_and_its_weights_are_listed(tiny_folder):
    model_folder.check(tiny_folder)
    held = model_folder.weights(tiny_folder)
    assert held == {name: tuple(t.shape) for name, t in load_file(tiny_folder / "model.safetensors").items()}


def test_weights_in_several_files_are_one_model(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "own")
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    parts = {name: f"part-{number % 2}.safetensors" for number, name in enumerate(state)}
    for part in set(parts.values()):
        save_file({name: state[name] for name in state if parts[name] == part}, folder / part, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text('{"weight_map": ' + str(parts).replace("'", '"') + "}")
    model_folder.check(folder)
    save_file(state, folder / "part-0.safetensors", {"format": "pt"})
    with pytest.raises(model_folder.FolderError, match="which another file of the folder holds as well"):
        model_folder.check(folder)


def test_a_model_of_more_weights_than_the_files_hold_is_refused(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "own")
    state = load_file(folder / "model.safetensors")
    save_file({"embed": torch.zeros(500, 32)} | dict(list(state.items())[:2]), folder / "model.safetensors")
    with pytest.raises(
        model_folder.FolderError, match=r"^config.json describes a model of [\d,]+ weights, and the files"
    ):
        model_folder.check(folder)
