"""Model directories: what is read, refused, found and written."""

import hashlib
import importlib
import json
import os
import resource
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpkit import models
from nlpkit.errors import ModelError, OutputError
from nlpkit.model_files import vocabulary_bytes, weight_bytes
from nlpkit.models import Manifest, find_model, list_models, read_manifest, read_weights, save_model, verify

VOCABULARY = ["[PAD]", "[UNK]", "天", "##天", "　", "a b"]
MANIFEST = Manifest(
    name="tiny",
    task="classifier",
    architecture="bert",
    config={"vocab_size": 6, "hidden_size": 2},
    tokenizer={"lower_case": True},
    labels=["好", "坏"],
    metrics={"f1": 0.5},
)


def weights():
    return {
        "b/kernel": np.array([[1.0, -2.0, 0.5], [65504.0, 0.0, 3.0]], np.float32),
        "a/bias": np.array([0.25], np.float32),
    }


def save(folder, **changes):
    given = {"manifest": MANIFEST, "vocabulary": VOCABULARY, "weights": weights(), "card": "# tiny\n"}
    return save_model(folder, **{**given, **changes})


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Keep the search to folders of this test; returns ./models and the user's folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(models, "__file__", str(tmp_path / "code/nlpkit/models.py"))
    return Path("models"), tmp_path / "data/nlpkit/models"


def everything(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def edit(folder, **fields):
    path = folder / "nlpkit.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | fields), "utf-8")


def shown(call, *args, **named):
    with pytest.raises(ModelError) as caught:
        call(*args, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Saving and reading


def test_what_is_saved_is_read_again(folder):
    read = read_manifest(folder)
    verify(folder, read)
    assert replace(read, files={}) == MANIFEST
    assert models.read_vocabulary(folder / "vocab.txt") == VOCABULARY
    got = read_weights(folder / "model.safetensors")
    assert got.keys() == weights().keys()
    for name, values in weights().items():
        assert got[name].dtype == np.float32
        np.testing.assert_array_equal(got[name], values)
    assert (folder / "README.md").read_text("utf-8") == "# tiny\n"


def test_the_manifest_lists_every_file_but_itself_and_the_card(tmp_path):
    save(tmp_path / "m", extra_files={"model.onnx": b"graph"})
    listed = json.loads((tmp_path / "m/nlpkit.json").read_text("utf-8"))["files"]
    assert set(listed) == {"vocab.txt", "model.safetensors", "model.onnx"}
    assert listed["model.onnx"] == {"bytes": 5, "sha256": hashlib.sha256(b"graph").hexdigest()}


def test_the_manifest_has_its_fields_in_order_and_characters_as_they_are(folder):
    text = (folder / "nlpkit.json").read_text("utf-8")
    assert list(json.loads(text)) == [
        *("format", "name", "task", "architecture", "config", "tokenizer", "labels"),
        *("training", "metrics", "nlpkit_version", "files"),
    ]
    assert "好" in text


def test_the_same_model_gives_the_same_bytes_whatever_the_order_of_its_weights(folder, tmp_path):
    save(tmp_path / "again", weights=dict(reversed(weights().items())))
    assert everything(tmp_path / "again") == everything(folder)


def test_weights_in_column_order_are_stored_right(tmp_path):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    save(tmp_path / "m", weights={"w": np.asfortranarray(values), "v": values.T, "scalar": np.float32(7)})
    got = read_weights(tmp_path / "m/model.safetensors")
    np.testing.assert_array_equal(got["w"], values)
    np.testing.assert_array_equal(got["v"], values.T)
    assert got["scalar"].shape == ()


def test_float16_halves_the_file_and_comes_back_as_float32(tmp_path):
    wide = {"w": np.full((1000,), 1 / 3, np.float32)}
    save(tmp_path / "m", weights=wide, dtype="float16")
    file = tmp_path / "m/model.safetensors"
    assert 2000 < file.stat().st_size < 2200
    got = read_weights(file)["w"]
    assert got.dtype == np.float32
    assert abs(got[0] - 1 / 3) < 1e-3


@pytest.mark.parametrize("value", [65505.0, -70000.0])
def test_float16_refuses_what_it_cannot_hold(tmp_path, value):
    text = shown(save, tmp_path / "m", weights={"deep/kernel": np.array([value])}, dtype="float16")
    assert "deep/kernel" in text
    assert not any(tmp_path.iterdir())
    save(tmp_path / "m", weights={"deep/kernel": np.array([value])}, dtype="float32")


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_weights_that_are_not_finite_are_refused(tmp_path, dtype, value):
    text = shown(save, tmp_path / "m", weights={"w": np.array([1.0, value])}, dtype=dtype)
    assert text == "weight w has values that are not finite"


def test_an_extra_file_cannot_take_the_name_of_ours(tmp_path):
    with pytest.raises(ValueError, match=r"vocab\.txt"):
        save(tmp_path / "m", extra_files={"vocab.txt": b""})


def test_an_extra_file_cannot_leave_the_folder(tmp_path):
    assert "no plain file name" in shown(save, tmp_path / "m", extra_files={"../evil": b""})
    assert not any(tmp_path.iterdir())


# Existing folders and interrupted saves


def test_an_existing_folder_is_refused_without_force(folder):
    before = everything(folder)
    with pytest.raises(OutputError, match="exists"):
        save(folder, card="other")
    assert everything(folder) == before


def test_force_replaces_the_whole_model(folder):
    (folder / "old.txt").touch()
    save(folder, card="new", force=True)
    assert (folder / "README.md").read_text("utf-8") == "new"
    assert not (folder / "old.txt").exists()
    assert os.listdir(folder.parent) == ["tiny"]


def test_force_replaces_nothing_but_models(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter1.txt").write_text("years of work")
    with pytest.raises(OutputError, match="no model directory"):
        save(tmp_path / "thesis", force=True)
    assert (tmp_path / "thesis/chapter1.txt").read_text() == "years of work"


def test_a_model_can_be_read_by_whoever_may_read_other_folders(folder):
    (folder.parent / "plain").mkdir()
    assert folder.stat().st_mode == (folder.parent / "plain").stat().st_mode


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("end", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_save_that_ends_early_leaves_what_was_there(tmp_path, monkeypatch, existing, end):
    target = tmp_path / "deep/tiny"
    if existing:
        save(target)
    before = everything(target) if existing else None
    write = Path.write_bytes

    def fail(path, data):
        if path.name == "nlpkit.json":  # the last one
            raise end
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises((KeyboardInterrupt, OutputError)):
        save(target, card="other", force=True)
    assert os.listdir(tmp_path / "deep") == (["tiny"] if existing else [])
    if existing:
        assert everything(target) == before


def test_a_swap_that_fails_gives_the_old_model_its_name_back(folder, monkeypatch):
    before = everything(folder)
    rename = Path.rename

    def fail(path, target):
        if path.name == "new":
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OutputError, match="Input/output error"):
        save(folder, card="other", force=True)
    assert everything(folder) == before
    assert os.listdir(folder.parent) == ["tiny"]


def test_a_file_limit_is_an_output_error(tmp_path):
    """A real refusal of the system: no file may be larger than a kilobyte."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(OutputError, match="cannot write"):
            save(tmp_path / "m", weights={"w": np.zeros(1000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not any(tmp_path.iterdir())


def test_a_place_below_a_file_is_an_output_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        save(tmp_path / "file/m")


# The manifest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "nlpkit.json:1: not JSON"),
        (b'{"format": 1,\n "name" "x"}', "nlpkit.json:2: not JSON"),
        (b'{"format": NaN}', "NaN is no number"),
        (b"[" * 100_000, "not JSON that can be read"),
        (b"[1]", "nlpkit.json: a list, not an object"),
        (b"null", "nlpkit.json: null, not an object"),
        (b"\xff{}", "nlpkit.json: not UTF-8"),
        (b"{}", "nlpkit.json: no field 'format'"),
        (b'{"format": true}', "field 'format' is true, not a number"),
        (b'{"format": "1"}', "field 'format' is a string, not a number"),
        (b'{"format": 2}', "format 2"),
    ],
)
def test_a_manifest_that_cannot_be_read_says_why(folder, text, said):
    (folder / "nlpkit.json").write_bytes(text)
    message = shown(read_manifest, folder)
    assert said in message
    assert str(folder / "nlpkit.json") in message


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": 5}, "field 'name' is a number, not a string"),
        ({"task": "dancing"}, "unknown task 'dancing'"),
        ({"config": []}, "field 'config' is a list, not an object"),
        ({"tokenizer": {}}, "tokenizer: no field 'lower_case'"),
        ({"tokenizer": {"lower_case": 1}}, "field 'lower_case' is a number, not true or false"),
        ({"labels": "a"}, "field 'labels' is a string, not a list or an object"),
        ({"metrics": None}, "field 'metrics' is null, not an object"),
        ({"files": {}}, "files: no field 'vocab.txt'"),
        ({"files": {"vocab.txt": 3}}, "files: vocab.txt: a number, not an object"),
        ({"files": {"vocab.txt": {"bytes": 3}}}, "files: vocab.txt: no field 'sha256'"),
        ({"files": {"vocab.txt": {"bytes": -1, "sha256": "0" * 64}}}, "not a size and a SHA-256"),
        ({"files": {"vocab.txt": {"bytes": 1, "sha256": "zz"}}}, "not a size and a SHA-256"),
        ({"files": {"../../etc/passwd": {"bytes": 1, "sha256": "0" * 64}}}, "no plain file name"),
        ({"files": {".hidden": {"bytes": 1, "sha256": "0" * 64}}}, "no plain file name"),
    ],
)
def test_a_wrong_field_is_named(folder, fields, said):
    edit(folder, **fields)
    assert said in shown(read_manifest, folder)


@pytest.mark.parametrize("name", ["name", "task", "architecture", "config", "tokenizer", "training", "files"])
def test_a_missing_field_is_named(folder, name):
    fields = json.loads((folder / "nlpkit.json").read_text("utf-8"))
    del fields[name]
    (folder / "nlpkit.json").write_text(json.dumps(fields))
    assert f"no field '{name}'" in shown(read_manifest, folder)


def test_fields_of_other_names_are_passed_over(folder):
    edit(folder, colour="blue", schema=None)
    assert replace(read_manifest(folder), files={}) == MANIFEST


def test_a_folder_without_manifest_says_how_to_get_one(tmp_path):
    with pytest.raises(ModelError, match=r"no nlpkit\.json") as caught:
        read_manifest(tmp_path)
    assert "nlpkit models import" in caught.value.hint


json_values = st.sampled_from([None, True, 1, -0.5, "", "mlm", [], ["a"], {}, {"lower_case": {}}])


@given(
    st.dictionaries(st.sampled_from(["format", "name", "task", "tokenizer", "files", "labels"]), json_values)
)
def test_any_json_is_read_or_refused(fields):
    said = ""
    try:
        Manifest.from_json(replace(MANIFEST, files={}).to_json() | fields, "nlpkit.json")
    except ModelError as error:
        said = str(error)
    assert said.startswith("nlpkit.json: ")  # its files are none, and so it is always wrong


# Files


def test_a_missing_file_is_named(folder):
    (folder / "vocab.txt").unlink()
    assert shown(verify, folder, read_manifest(folder)) == f"{folder / 'vocab.txt'}: the file is missing"


@pytest.mark.parametrize("hashes", [True, False])
def test_a_truncated_file_is_named(folder, hashes):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert f"{path}: truncated" in shown(verify, folder, read_manifest(folder), hashes=hashes)


@pytest.mark.parametrize("hashes", [True, False])
def test_a_file_that_grew_is_named(folder, hashes):
    with (folder / "vocab.txt").open("ab") as file:
        file.write("龘\n".encode())
    assert f"{folder / 'vocab.txt'}: changed" in shown(verify, folder, read_manifest(folder), hashes=hashes)


def test_a_changed_byte_is_seen_by_the_hash_only(folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    manifest = read_manifest(folder)
    assert f"{path}: changed: its SHA-256" in shown(verify, folder, manifest)
    verify(folder, manifest, hashes=False)


def test_a_folder_in_place_of_a_file_is_no_crash(folder):
    (folder / "vocab.txt").unlink()
    (folder / "vocab.txt").mkdir()
    shown(verify, folder, read_manifest(folder))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", ": no token"),
        (b"a\n\nb\n", ":2: an empty line"),
        (b"a\nb\r\n\r\n", ":3: an empty line"),
        (b"a\nb\na\n", ":3: 'a' is there twice, first on line 1"),
        (b"a\nb\xff\n", ":2: not UTF-8"),
        (b"\xef\xbb\xbfa\nb\n\xe5\n", ":3: not UTF-8"),
    ],
)
def test_a_wrong_vocabulary_is_refused_with_its_line(tmp_path, data, said):
    path = tmp_path / "vocab.txt"
    path.write_bytes(data)
    assert shown(models.read_vocabulary, path).startswith(f"{path}{said}")


def test_only_newlines_part_tokens(tmp_path):
    """U+2028, U+0085, form feed and the ideographic space are tokens of real vocabularies."""
    path = tmp_path / "vocab.txt"
    path.write_bytes("\ufeff[PAD]\r\n\u2028\n\x85\n\x0c\n \n\u3000".encode())
    assert models.read_vocabulary(path) == ["[PAD]", "\u2028", "\x85", "\x0c", " ", "\u3000"]


@given(st.lists(st.text(min_size=1), min_size=1, unique=True))
def test_a_vocabulary_comes_back_or_is_refused(tmp_path_factory, tokens):
    path = tmp_path_factory.mktemp("v") / "vocab.txt"
    try:
        data = vocabulary_bytes(["[PAD]", *tokens])
    except ModelError:
        assert "[PAD]" in tokens or any("\n" in token or token.endswith("\r") for token in tokens)
        return
    path.write_bytes(data)
    assert models.read_vocabulary(path) == ["[PAD]", *tokens]


@pytest.mark.parametrize("tokens", [[], ["a", ""], ["a", "a"], ["a\n"], ["a\r"], ["\ud800"]])
def test_a_vocabulary_that_could_not_be_read_is_not_written(tmp_path, tokens):
    assert shown(save, tmp_path / "m", vocabulary=tokens).startswith("vocab.txt:")


def safetensors(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        struct.pack("<Q", 1 << 60) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        safetensors({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(4)),
        safetensors({"w": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, bytes(8)),
        safetensors({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(9)),
    ],
)
def test_damaged_weights_are_refused(tmp_path, data):
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    for read in (read_weights, models.weight_shapes):
        assert shown(read, path).startswith(f"{path}: truncated, damaged or no safetensors file")


def test_missing_weights_are_refused(tmp_path):
    assert str(tmp_path / "none") in shown(read_weights, tmp_path / "none")


def test_floats_of_every_width_become_float32_and_the_rest_is_left_out(tmp_path):
    """The bits of -2.5 in bfloat16 are C020; in the other widths numpy knows them."""
    parts = [
        ("bf", "BF16", bytes([0x20, 0xC0])),
        ("half", "F16", np.float16(-2.5).tobytes()),
        ("long", "F64", np.float64(-2.5).tobytes()),
        ("ids", "I64", np.int64(3).tobytes()),
    ]
    for chosen in (parts, parts[1:]):
        header, data = {}, b""
        for name, dtype, raw in chosen:
            header[name] = {"dtype": dtype, "shape": [1], "data_offsets": [len(data), len(data) + len(raw)]}
            data += raw
        (tmp_path / "w").write_bytes(safetensors(header, data))
        got = read_weights(tmp_path / "w")
        assert sorted(got) == sorted({name for name, *_ in chosen} - {"ids"})
        assert {(array.dtype.name, array.item()) for array in got.values()} == {("float32", -2.5)}


def test_weights_are_read_by_the_package_that_others_use(tmp_path):
    from safetensors.numpy import load

    got = load(weight_bytes(weights(), "float32"))
    np.testing.assert_array_equal(got["b/kernel"], weights()["b/kernel"])


# Finding


def test_the_first_folder_that_has_the_name_wins(places, tmp_path):
    here, user = places
    shipped = tmp_path / "code/models"
    for place in (shipped, user, here):
        save(place / "tiny", card=str(place))
        assert find_model("tiny") == place / "tiny"
    assert models.model_folders() == [here, user, shipped]


def test_a_wheel_has_its_models_inside_the_package(places, tmp_path):
    shipped = tmp_path / "code/nlpkit/shipped"
    save(shipped / "tiny")
    assert find_model("tiny") == shipped / "tiny"


def test_without_xdg_the_user_folder_is_below_home(places, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for data in ("", "relative/path"):
        monkeypatch.setenv("XDG_DATA_HOME", data)
        assert models.user_folder() == tmp_path / ".local/share/nlpkit/models"


def test_a_name_beats_a_folder_of_that_name_and_a_slash_asks_for_the_folder(places):
    here, _ = places
    save(here / "tiny")
    save(Path("tiny"))
    assert find_model("tiny") == here / "tiny"
    assert find_model("./tiny") == Path("tiny")
    save(Path("other"))
    assert find_model("other") == Path("other")


def test_a_checkpoint_of_another_program_can_be_named(places):
    here, _ = places
    (here / "chinese_bert").mkdir(parents=True)
    (here / "chinese_bert/bert_config.json").write_text("{}")
    assert find_model("chinese_bert") == here / "chinese_bert"
    assert find_model("models/chinese_bert") == here / "chinese_bert"


def test_an_unknown_name_is_told_with_those_there_are(places):
    here, user = places
    save(here / "albert-tiny")
    save(user / "bert-base")
    with pytest.raises(ModelError) as caught:
        find_model("albrt-tiny")
    assert str(caught.value) == "no model named 'albrt-tiny'; there are: albert-tiny, bert-base"
    assert caught.value.hint == "did you mean 'albert-tiny'?"
    with pytest.raises(ModelError) as caught:
        find_model("zzz")
    assert "nlpkit models import PATH --name zzz" in caught.value.hint
    assert "hf:ORG/NAME" in caught.value.hint


@pytest.mark.parametrize("spec", ["", "x" * 5000, "天", "nul\0"])
def test_any_odd_name_is_a_model_error(places, spec):
    shown(find_model, spec)


def test_a_path_that_is_no_model_says_what_it_is(places):
    Path("empty").mkdir()
    Path("file.bin").touch()
    assert "no model: neither nlpkit.json nor the config" in shown(find_model, "./empty")
    assert "this is a file" in shown(find_model, "./file.bin")
    assert "no such folder" in shown(find_model, "./nowhere")


def test_a_path_that_is_a_hub_name_is_told_so(places):
    with pytest.raises(ModelError) as caught:
        find_model("hfl/rbt3")
    assert caught.value.hint.startswith("hf:hfl/rbt3 ")


def test_home_is_known_in_paths(places, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save(tmp_path / "mine")
    assert find_model("~/mine") == tmp_path / "mine"


# Listing


def test_models_are_listed_with_what_they_are(places):
    here, _ = places
    save(here / "tiny")
    size = sum(len(data) for data in everything(here / "tiny").values())
    assert list_models() == [models.Listed("tiny", "classifier", "bert", size, "models/tiny", "")]


def test_listing_reads_no_weights(places):
    here, _ = places
    save(here / "tiny")
    path = here / "tiny/model.safetensors"
    path.write_bytes(bytes(path.stat().st_size))  # which only the hash can tell
    assert [listed.error for listed in list_models()] == [""]


def test_a_broken_model_is_listed_with_its_error_and_hides_the_next(places):
    here, user = places
    save(here / "tiny")
    save(user / "tiny")
    (here / "tiny/vocab.txt").unlink()
    [listed] = list_models()
    assert listed.folder == "models/tiny"
    assert "vocab.txt: the file is missing" in listed.error


@pytest.mark.parametrize("left", ["model.safetensors", "nlpkit.json"])
def test_what_is_left_of_a_model_is_listed_as_broken(places, left):
    here, _ = places
    save(here / "tiny")
    for path in (here / "tiny").iterdir():
        if path.name != left:
            path.unlink()
    [listed] = list_models()
    assert listed.error


def test_other_folders_files_and_unfinished_saves_are_no_models(places):
    here, _ = places
    for name in (".tiny.x.part", "notes"):
        (here / name).mkdir(parents=True)
    save(here / ".tiny.x.part/new")
    save(here / ".hidden")
    (here / "README.md").touch()
    (here / "notes/a.txt").touch()
    assert list_models() == []


def test_a_checkpoint_of_another_program_is_listed(places):
    here, _ = places
    (here / "bert").mkdir(parents=True)
    (here / "bert/config.json").write_text("{}")
    assert list_models() == [models.Listed("bert", "", "", 2, "models/bert", "")]


# Cost


def test_importing_loads_neither_numpy_nor_a_runtime():
    code = (
        "import sys, nlpkit.models; nlpkit.models.model_names();"
        "print({'numpy', 'safetensors', 'onnx', 'tensorflow', 'huggingface_hub'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_shipped_folder_of_this_checkout_is_found():
    """Beside the package, or in it where the tests run on an installed one."""
    module = importlib.import_module("nlpkit.models")
    package = Path(module.__file__).parent
    assert models.model_folders()[2] in (package / "shipped", package.parent / "models")
