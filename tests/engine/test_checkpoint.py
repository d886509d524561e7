import errno
import shutil

import pytest
import torch
from safetensors import SafetensorError

from course_utils import files
from course_utils.engine import checkpoint
from course_utils.engine.checkpoint import CheckpointError

FILES = (
    "weights.safetensors", "optimizer.safetensors", "random.safetensors", "progress.json", "identity.json",
    "environment.json", "metrics.jsonl", "manifest.json",
)  # fmt: skip
DAMAGES = ("missing", "truncated", "one bit")


def write(folder, step):
    return checkpoint.save(
        folder,
        step,
        tensors={stem: {"w": torch.arange(9.0) + step} for stem in ("weights", "optimizer", "random")},
        documents={stem: {"step": step, "name": stem} for stem in ("progress", "identity", "environment")},
        texts={"metrics.jsonl": f'{{"step": {step}}}\n'},
    )


def damage(path, kind):
    if kind == "missing":
        return path.unlink()
    content = bytearray(path.read_bytes())
    if kind == "one bit":
        content[len(content) // 2] ^= 1
    path.write_bytes(content[: len(content) // 2] if kind == "truncated" else content)


def test_what_is_saved_comes_back(tmp_path):
    write(tmp_path, 3)
    found = checkpoint.newest(tmp_path)
    assert found.step == 3
    assert torch.equal(found.tensors("weights")["w"], torch.arange(9.0) + 3)
    assert found.document("progress") == {"step": 3, "name": "progress"}
    assert found.text("metrics.jsonl") == '{"step": 3}\n'
    assert sorted(path.name for path in found.path.iterdir()) == sorted(FILES)


def test_the_newest_two_are_kept(tmp_path):
    for step in (1, 2, 3, 10):
        write(tmp_path, step)
    assert checkpoint.steps(tmp_path) == [10, 3]


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_damage_is_noticed_and_the_one_before_is_used(tmp_path, name, kind):
    write(tmp_path, 10)
    damage(write(tmp_path, 20).path / name, kind)
    said = []
    assert checkpoint.newest(tmp_path, say=said.append).step == 10
    assert len(said) == 1 and "\n" not in said[0]
    assert "step 20 is damaged" in said[0] and name in said[0] and "step 10" in said[0]


@pytest.mark.parametrize("position", range(0, 200, 7))
def test_a_bit_anywhere_in_the_manifest_is_noticed(tmp_path, position):
    path = write(tmp_path, 1).path / "manifest.json"
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << (position % 8)
    path.write_bytes(content)
    assert checkpoint.find_fault(path.parent) == "manifest.json is not what was written"


def test_when_all_are_damaged_it_starts_over_and_says_so(tmp_path):
    for step in (1, 2):
        damage(write(tmp_path, step).path / "weights.safetensors", "one bit")
    said = []
    assert checkpoint.newest(tmp_path, say=said.append) is None
    assert len(said) == 2 and "starting from step 0" in said[1]


def test_a_damaged_one_is_replaced_by_the_same_step(tmp_path):
    write(tmp_path, 1)
    damage(write(tmp_path, 2).path / "weights.safetensors", "one bit")
    checkpoint.newest(tmp_path, say=lambda line: None)
    write(tmp_path, 2)
    assert checkpoint.newest(tmp_path).step == 2
    assert sorted(path.name[:13] for path in tmp_path.iterdir()) == ["step-00000001", "step-00000002"]


def numbered(path, step):
    """The folder's name with another step."""
    return path.with_name(f"step-{step:08d}-{path.name.rpartition('-')[2]}")


def swap(one, other):
    other.rename(one.with_name("between"))
    one.rename(other)
    one.with_name("between").rename(one)


def exchange_numbers(one, other):
    one.rename(numbered(one, 8))
    other.rename(numbered(other, 4))


RENAMES = {  # what a hand, a copy or a synchronised folder does to the checkpoints of steps 4 and 8 → lines said
    "the newest up": (lambda four, eight: eight.rename(numbered(eight, 12)), 1),
    "the older up": (lambda four, eight: four.rename(numbered(four, 12)), 1),
    "the newest down": (lambda four, eight: eight.rename(numbered(eight, 2)), 1),
    "two have each other's name": (swap, 2),
    "two have each other's number": (exchange_numbers, 2),
    "a copy under a higher number": (
        lambda four, eight: shutil.copytree(four, numbered(four, 12)), 1,
    ),
    "a copy beside the newest": (lambda four, eight: shutil.copytree(eight, f"{eight} (1)"), 1),
    "the hash is gone": (lambda four, eight: eight.rename(eight.with_name("step-00000008")), 1),
    "the older one is in the newest's place": (lambda four, eight: (shutil.rmtree(eight), four.rename(eight)), 1),
}  # fmt: skip


@pytest.mark.parametrize("case", RENAMES)
def test_renamed_swapped_and_copied_folders_are_noticed_and_the_run_goes_on_from_what_they_hold(tmp_path, case):
    four, eight = (write(tmp_path, step).path for step in (4, 8))
    change, lines = RENAMES[case]
    change(four, eight)
    said = []
    found = checkpoint.newest(tmp_path, say=said.append)
    expected = 4 if case.startswith("the older one is in") else 8
    assert found.step == expected == found.document("progress")["step"]
    assert found.path == (four if expected == 4 else eight)
    assert len(said) == lines and all("holds step" in line and "\n" not in line for line in said)
    assert four.is_dir() and checkpoint.steps(tmp_path) == [8, 4][-lines if expected == 4 else 0 :]
    again = []
    assert checkpoint.newest(tmp_path, say=again.append) == found and again == []


def test_a_kill_between_two_renames_loses_nothing(tmp_path):
    path = write(tmp_path, 8).path
    path.rename(path.with_name("moved-step-00000012-0"))
    assert checkpoint.newest(tmp_path, say=lambda line: None).path == path


def test_a_renamed_one_that_is_damaged_too_is_not_used(tmp_path):
    four, eight = (write(tmp_path, step).path for step in (4, 8))
    damage(eight / "weights.safetensors", "one bit")
    eight.rename(numbered(eight, 12))
    assert checkpoint.newest(tmp_path, say=lambda line: None).path == four


def test_where_nothing_can_be_renamed_a_wrong_name_is_passed_over(tmp_path, monkeypatch):
    four, eight = (write(tmp_path, step).path for step in (4, 8))
    eight.rename(numbered(eight, 12))

    def refuse(path, target):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(type(four), "rename", refuse)
    said = []
    assert checkpoint.newest(tmp_path, say=said.append).path == four
    assert len(said) == 1 and "step 12 is damaged (it holds step 8); trying the one of step 4" in said[0]


def test_every_file_and_folder_is_synced_before_the_rename_and_the_place_of_the_rename_after_it(tmp_path, monkeypatch):
    calls, sync, rename = [], files.sync, type(tmp_path).rename

    def note_sync(path):
        calls.append(f"sync {path.name}")
        if path.name.endswith((".json", ".jsonl", ".safetensors")):
            calls[-1] += f" of {path.stat().st_size} bytes"
        sync(path)

    def note_rename(path, target):
        calls.append(f"rename {path.name}")
        return rename(path, target)

    monkeypatch.setattr(files, "sync", note_sync)
    monkeypatch.setattr(type(tmp_path), "rename", note_rename)
    path = write(tmp_path / "run", 3).path
    sizes = {name: f"sync {name} of {(path / name).stat().st_size} bytes" for name in FILES}
    manifest = sizes.pop("manifest.json")
    assert calls == [
        *(sizes[name] for name in sorted(sizes)), manifest, "sync .saving-00000003", "rename .saving-00000003",
        "sync run",
    ]  # fmt: skip


def test_saving_the_same_step_again_over_a_whole_one(tmp_path):
    assert write(tmp_path, 2).path == write(tmp_path, 2).path
    assert checkpoint.newest(tmp_path).step == 2


def test_an_unfinished_save_is_no_checkpoint(tmp_path):
    path = write(tmp_path, 1).path
    shutil.copytree(path, tmp_path / ".saving-00000002")
    assert checkpoint.newest(tmp_path).step == 1
    write(tmp_path, 3)
    assert not list(tmp_path.glob(".saving*"))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_full_disk_keeps_the_last_good_one(tmp_path, monkeypatch, error, written):
    write(tmp_path, 10)
    calls = []

    def save_file(tensors, path):
        calls.append(path)
        path.write_bytes(b"half a file")
        if len(calls) > written:
            raise error

    monkeypatch.setattr(checkpoint, "save_file", save_file)
    with pytest.raises(CheckpointError, match=r"disk is full.*step 20 needs.*step 10 is whole and kept") as caught:
        write(tmp_path, 20)
    assert "COURSE_RUNS" in str(caught.value)
    assert [path.name[:13] for path in tmp_path.iterdir()] == ["step-00000010"]
    assert checkpoint.newest(tmp_path).step == 10


def test_another_write_error_is_not_called_a_full_disk(tmp_path, monkeypatch):
    def broken(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files, "sync", broken)
    with pytest.raises(CheckpointError, match=r"could not be written.*Input/output error.*no earlier checkpoint"):
        write(tmp_path, 1)


def test_fingerprints_tell_values_dtypes_and_shapes_apart():
    values = [torch.zeros(4), torch.zeros(2, 2), torch.zeros(4, dtype=torch.bfloat16), torch.ones(4)]
    assert len({checkpoint.fingerprint(value) for value in values}) == 4
    assert checkpoint.fingerprint({"a": 1, "b": 2}) == checkpoint.fingerprint({"b": 2, "a": 1})
