"""The folder of a run: what may begin or go on in it, and that its files are whole or not there."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from nlpkit.bert.run_state import MAY_CHANGE, RunFolder
from nlpkit.errors import InputError, ModelError, OutputError

SETTINGS = {"steps": 5, "seed": 1, "files": ["a.txt"], "optimizer": {"name": "adam"}}
ARRAYS = {
    "weights/a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "updates": np.array(7, np.int64),
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "empty": np.zeros((0, 3), np.float32),
}


@pytest.fixture
def run(tmp_path):
    """A run that has begun and saved a state."""
    folder = RunFolder(tmp_path / "m.training")
    with folder.opened(SETTINGS, resume=False):
        folder.save_state(ARRAYS, {"step": 3, "best": -math.inf})
    return folder


def names(folder):
    return {path.name for path in folder.path.iterdir()} - {"lock"}


def test_a_state_comes_back_as_it_was(run):
    arrays, standing = run.load_state()
    assert arrays.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(arrays[name], value)
    assert standing == {"step": 3, "best": -math.inf}


def test_a_new_state_takes_the_place_of_the_old_one(run):
    run.save_state({"x": np.ones(2)}, {"step": 4})
    arrays, standing = run.load_state()
    assert (list(arrays), standing) == (["x"], {"step": 4})
    assert names(run) == {"settings.json", "state.safetensors"}


def test_a_half_written_state_is_not_read(run):
    (run.path / "state.half").write_bytes(b"half")
    assert run.load_state()[1]["step"] == 3


def test_a_run_without_a_state_has_none(tmp_path):
    assert RunFolder(tmp_path).load_state() is None


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: data[:9], lambda data: b""])
def test_a_damaged_state_is_told(run, damage):
    path = run.path / "state.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match="damaged") as caught:
        run.load_state()
    assert "--force" in caught.value.hint


def test_a_state_of_another_program_is_damaged(run):
    from safetensors.numpy import save_file

    save_file({"x": np.ones(2)}, run.path / "state.safetensors")
    with pytest.raises(ModelError, match="damaged"):
        run.load_state()


def test_a_finished_run_is_neither_replaced_nor_begun_again_unasked(run):
    with pytest.raises(OutputError, match="holds a training run") as caught:
        run.check(SETTINGS, resume=False, force=False)
    assert "--resume" in caught.value.hint
    run.check(SETTINGS, resume=False, force=True)
    run.check(SETTINGS, resume=True, force=False)
    assert run.load_state()[1]["step"] == 3


def test_a_run_that_saved_nothing_makes_room(tmp_path):
    folder = RunFolder(tmp_path / "m.training")
    with folder.opened(SETTINGS, resume=False):
        (folder.path / "text-0.tokens").mkdir()
        (folder.path / "text-0.tokens/ids.bin").write_bytes(b"x")
    folder.check({"steps": 9}, resume=False, force=False)
    with folder.opened({"steps": 9}, resume=False):
        assert names(folder) == {"settings.json"}
        assert json.loads((folder.path / "settings.json").read_text("utf-8")) == {"steps": 9}


def test_a_folder_of_other_files_is_never_emptied(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work", "utf-8")
    for force in (False, True):
        with pytest.raises(OutputError, match="no training run"):
            RunFolder(tmp_path).check(SETTINGS, resume=False, force=force)
    with pytest.raises(OutputError, match="no training run"):
        RunFolder(tmp_path / "thesis.txt").check(SETTINGS, resume=False, force=True)
    assert (tmp_path / "thesis.txt").read_text("utf-8") == "years of work"


def test_an_empty_folder_is_room_enough(tmp_path):
    folder = RunFolder(tmp_path)
    folder.check(SETTINGS, resume=False, force=False)
    with folder.opened(SETTINGS, resume=False):
        assert names(folder) == {"settings.json"}


def test_resuming_keeps_the_files_of_the_run(run):
    with run.opened(SETTINGS, resume=True):
        assert names(run) == {"settings.json", "state.safetensors"}


@pytest.mark.parametrize(
    "changed", [{"seed": 2}, {"files": ["a.txt", "b.txt"]}, {"optimizer": {"name": "lion"}}, {"new": 1}]
)
def test_a_run_with_other_settings_is_not_resumed(run, changed):
    (name,) = changed
    with pytest.raises(InputError, match=f"had {name} = "):
        run.check({**SETTINGS, **changed}, resume=True, force=False)


def test_how_long_a_run_goes_on_may_change(run):
    longer = {**SETTINGS, **dict.fromkeys(MAY_CHANGE, 99)}
    run.check(longer, resume=True, force=False)


@pytest.mark.parametrize("text", [None, "", "[1]", '{"seed": 1'])
def test_nothing_to_resume_is_told(tmp_path, text):
    if text is not None:
        (tmp_path / "settings.json").write_text(text, "utf-8")
    with pytest.raises(InputError, match="no run to resume"):
        RunFolder(tmp_path).check(SETTINGS, resume=True, force=False)


def test_two_processes_do_not_train_in_one_folder(run):
    code = (
        "import sys; from pathlib import Path; from nlpkit.bert.run_state import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).opened({}, resume=True): print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, run.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        for resume in (False, True):
            with pytest.raises(OutputError, match="another process"), run.opened(SETTINGS, resume=resume):
                pass
        other.communicate("\n")
    assert run.load_state()[1]["step"] == 3
    with run.opened(SETTINGS, resume=True):
        pass


def test_a_new_run_holds_its_folder_from_the_first(tmp_path):
    other = RunFolder(tmp_path)
    refused = pytest.raises(OutputError, match="another process")
    with RunFolder(tmp_path).opened(SETTINGS, resume=False), refused, other.opened(SETTINGS, resume=True):
        pass


def test_the_log_is_json_lines_with_six_digits(run):
    run.log({"step": 20, "loss": 1.23456789, "norm": math.nan, "big": 123456789.0})
    run.log({"step": 40, "loss": 1.0})
    lines = run.log_path.read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 20, "loss": 1.23457, "norm": None, "big": 123457000.0},
        {"step": 40, "loss": 1.0},
    ]


def test_the_log_is_cut_after_a_step_and_a_torn_line_goes(run):
    for step in (20, 40, 60):
        run.log({"step": step})
    with run.log_path.open("a", encoding="utf-8") as file:
        file.write('{"step": 4')
    run.cut_log(40)
    assert run.log_path.read_text("utf-8") == '{"step": 20}\n{"step": 40}\n'
    assert "metrics.half" not in names(run)


def test_cutting_a_log_that_is_not_there_is_nothing(run):
    run.cut_log(0)
    assert not run.log_path.exists()


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("", "utf-8")
    folder = RunFolder(tmp_path / "file" / "m.training")
    with pytest.raises(OutputError, match="cannot write"), folder.opened(SETTINGS, resume=False):
        pass
    with pytest.raises(OutputError, match="cannot write"):
        folder.log({"step": 1})
    with pytest.raises(OutputError, match="cannot write"):
        folder.save_state(ARRAYS, {})
