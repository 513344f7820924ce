"""`nlpkit models` in a folder of its own, on models of a few hundred numbers."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from nlpkit import models
from nlpkit.bert.config import ModelConfig
from nlpkit.bert.names import expected_weights
from nlpkit.cli import model as options
from nlpkit.cli.app import app
from nlpkit.models import Manifest, read_manifest, save_model, verify

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "天", "地"]
SIZES = {
    "vocab_size": 7,
    "hidden_size": 4,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 6,
    "max_position_embeddings": 8,
    "type_vocab_size": 2,
}
# By the names and in the forms of a Hugging Face BERT: (output, input).
LAYER = {
    "attention.self.query": (4, 4),
    "attention.self.key": (4, 4),
    "attention.self.value": (4, 4),
    "attention.output.dense": (4, 4),
    "attention.output.LayerNorm": (4,),
    "intermediate.dense": (6, 4),
    "output.dense": (4, 6),
    "output.LayerNorm": (4,),
}
BERT = {
    "embeddings.word_embeddings.weight": (7, 4),
    "embeddings.position_embeddings.weight": (8, 4),
    "embeddings.token_type_embeddings.weight": (2, 4),
    "embeddings.LayerNorm.weight": (4,),
    "embeddings.LayerNorm.bias": (4,),
    **{
        f"encoder.layer.{number}.{part}.{kind}": shape if kind == "weight" else shape[:1]
        for number in range(2)
        for part, shape in LAYER.items()
        for kind in ("weight", "bias")
    },
}
# 7*4 + 8*4 + 2*4 + 2*4 for the embeddings; a layer has 4 * (16+4), 2 * (4+4), 24+6 and 24+4
NUM_PARAMETERS = 76 + 2 * (80 + 16 + 30 + 28)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to work in; the user's models lie in ../data/nlpkit/models, and none ship."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(models, "__file__", str(tmp_path / "code/nlpkit/models.py"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def run(place):
    """Run `nlpkit models ARGS` in this process, which is much faster than one of its own."""

    def call(*args):
        done = CliRunner().invoke(app, ["models", *args], prog_name="nlpkit")
        return SimpleNamespace(returncode=done.exit_code, stdout=done.stdout, stderr=done.stderr)

    return call


@pytest.fixture
def huggingface(place):
    """A BERT as Hugging Face keeps it, in the folder hf."""
    folder = place / "hf"
    folder.mkdir()
    random = np.random.default_rng(5)
    save_file(
        {name: random.normal(size=shape).astype(np.float32) for name, shape in BERT.items()},
        folder / "model.safetensors",
    )
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **SIZES}))
    (folder / "vocab.txt").write_text("\n".join(TOKENS), "utf-8")
    return folder


def save_own(folder, architecture="bert", **changes):
    """Save a model directory of ours, whose weights are random."""
    config = ModelConfig.from_json(architecture, SIZES)
    random = np.random.default_rng(5)
    shapes = expected_weights(config, mlm=True)
    weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    fields = {"name": folder.name, "task": "mlm", "tokenizer": {"lower_case": True}, **changes}
    manifest = Manifest(architecture=architecture, config=config.to_json(), **fields)
    save_model(folder, manifest, TOKENS, weights, f"# {folder.name}\n\nMade for a test.\n")
    return folder


def record(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def error(done, code):
    """The lines of cause and hint of a run that failed."""
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    cause, *hint = done.stderr.splitlines()
    assert cause.startswith("nlpkit: error: ")
    assert all(line.startswith("nlpkit: hint: ") for line in hint)
    return done.stderr


# list


def test_list_has_a_line_for_each_model(run, place):
    size = sum(path.stat().st_size for path in save_own(place / "models/b").iterdir())
    save_own(place / "models/a", task="classifier")
    (place / "models/a/vocab.txt").unlink()
    broken, good = map(json.loads, run("list").stdout.splitlines())
    assert good == {
        "name": "b",
        "task": "mlm",
        "architecture": "bert",
        "num_bytes": size,
        "folder": "models/b",
        "error": "",
    }
    assert broken["error"] == "models/a/vocab.txt: the file is missing"
    assert run("list", "-f", "tsv").stdout.splitlines()[2] == f"b\tmlm\tbert\t{size}\tmodels/b\t"
    assert run("list", "-f", "table").stdout.split()[:3] == ["name", "task", "architecture"]


def test_no_model_is_a_warning_with_the_folders(run, tmp_path):
    done = run("list")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(f"nlpkit: warning: no model in models, {tmp_path}/data/nlpkit/models, ")


# show


def test_show_tells_all_that_the_manifest_says_and_the_size(run, place):
    folder = save_own(place / "models/tiny", labels=["好", "坏"])
    shown = record(run("show", "tiny"))
    head = 4 * 4 + 4 + 4 + 4 + 7  # transform, its norm, a bias for each token
    assert shown["num_parameters"] == NUM_PARAMETERS + head
    assert shown["folder"] == "models/tiny"
    assert {name: shown[name] for name in json.loads((folder / "nlpkit.json").read_text("utf-8"))} == (
        json.loads((folder / "nlpkit.json").read_text("utf-8"))
    )


def test_show_as_a_table_has_a_field_on_each_line(run, place):
    save_own(place / "models/tiny", labels=["好", "坏"], metrics={"f1": 0.00012})
    rows = [line.split(None, 1) for line in run("show", "tiny", "-f", "table").stdout.splitlines()]
    assert ["config.hidden_size", "4"] in rows
    assert ["labels", '["好", "坏"]'] in rows
    assert ["metrics.f1", "0.00012"] in rows
    assert ["tokenizer.lower_case", "true"] in rows
    assert "tokenizer.lower_case\ttrue\n" in run("show", "tiny", "-f", "tsv").stdout


def test_show_reads_checkpoints_of_other_programs(run, huggingface):
    shown = record(run("show", "./hf"))
    assert shown["num_parameters"] == NUM_PARAMETERS
    assert (shown["task"], shown["architecture"]) == ("encoder", "bert")


def test_verify_sees_a_changed_byte(run, place):
    path = save_own(place / "models/tiny") / "model.safetensors"
    assert record(run("show", "tiny", "--verify"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert run("show", "tiny").returncode == 0
    assert "models/tiny/model.safetensors: changed" in error(run("show", "tiny", "--verify"), 4)
    path.write_bytes(data[:-1])
    assert "models/tiny/model.safetensors: truncated" in error(run("show", "tiny"), 4)


# path


def test_path_prints_the_folder(run, place):
    save_own(place / "models/tiny")
    assert run("path", "tiny").stdout == "models/tiny\n"
    assert run("path", "./models/tiny").stdout == "models/tiny\n"


def test_a_name_that_is_not_there_gets_the_names_and_a_hint(run, place):
    save_own(place / "models/albert-tiny")
    said = error(run("path", "albrt-tiny"), 4)
    assert "no model named 'albrt-tiny'; there are: albert-tiny" in said
    assert "did you mean 'albert-tiny'?" in said
    for command in (["show"], ["import", "--name", "x"], ["export", "-o", "x.onnx"]):
        assert "no model named 'albrt-tiny'" in error(run(*command, "albrt-tiny"), 4)


# import


def test_an_import_is_a_model_directory_that_can_be_named(run, huggingface, place, tmp_path):
    done = run("import", "hf", "--name", "mine")
    folder = tmp_path / "data/nlpkit/models/mine"
    assert (done.stdout, done.stderr) == (f"{folder}\n", "")
    manifest = read_manifest(folder)
    verify(folder, manifest)
    assert (manifest.name, manifest.task, manifest.architecture) == ("mine", "encoder", "bert")
    assert manifest.training == {"imported_from": "hf"}
    card = (folder / "README.md").read_text("utf-8")
    assert card.startswith("# mine\n")
    assert "from `hf` as float32" in card
    assert run("path", "mine").stdout == done.stdout

    theirs, ours = load_file(huggingface / "model.safetensors"), load_file(folder / "model.safetensors")
    assert sum(values.size for values in ours.values()) == NUM_PARAMETERS
    np.testing.assert_array_equal(
        ours["bert/encoder/layer_1/output/dense/kernel"], theirs["encoder.layer.1.output.dense.weight"].T
    )
    np.testing.assert_array_equal(
        ours["bert/embeddings/position_embeddings"], theirs["embeddings.position_embeddings.weight"]
    )


def test_an_import_twice_gives_the_same_bytes(run, huggingface, place):
    for folder in ("one", "two"):
        run("import", "hf", "--name", "mine", "--to", folder)
    for file in (place / "one/mine").iterdir():
        assert file.read_bytes() == (place / "two/mine" / file.name).read_bytes()


def test_an_import_does_not_overwrite_without_force(run, huggingface, place):
    folder = save_own(place / "models/mine")
    command = ("import", "hf", "--name", "mine", "--to", "models")
    before = (folder / "README.md").read_text("utf-8")
    assert "--force" in error(run(*command), 6)
    assert "exists" in error(run("import", "hf:org/large", *command[2:]), 6)  # before anything is fetched
    assert (folder / "README.md").read_text("utf-8") == before
    assert run(*command, "--force").stdout == "models/mine\n"
    assert (folder / "README.md").read_text("utf-8") != before


def test_float16_takes_half_the_room(run, huggingface, place):
    run("import", "hf", "--name", "half", "--to", ".", "--dtype", "float16")
    assert {values.dtype for values in load_file(place / "half/model.safetensors").values()} == {
        np.dtype("float16")
    }


def test_an_albert_can_be_unshared(run, place):
    save_own(place / "models/shared", "albert")
    run("import", "shared", "--name", "apart", "--to", "models", "--unshare")
    shown = record(run("show", "apart"))
    assert (shown["architecture"], shown["training"]) == (
        "bert",
        {"imported_from": "shared", "unshared": True},
    )
    weights = load_file(place / "models/apart/model.safetensors")
    for part in ("attention/self/query/kernel", "output/dense/bias"):
        first, second = (weights[f"bert/encoder/layer_{number}/{part}"] for number in (0, 1))
        np.testing.assert_array_equal(first, second)
    assert "only albert" in error(run("import", "apart", "--name", "again", "--unshare"), 4)


def test_a_model_of_ours_keeps_what_it_knows(run, place):
    save_own(place / "models/old", task="entities", labels=["人", "地"], training={"seed": 3})
    run("import", "old", "--name", "new", "--to", "models", "--dtype", "float16")
    shown = record(run("show", "new"))
    assert (shown["name"], shown["task"], shown["labels"]) == ("new", "entities", ["人", "地"])
    assert shown["training"] == {"imported_from": "old", "seed": 3}
    card = (place / "models/new/README.md").read_text("utf-8")
    assert "Made for a test." in card
    assert "from `old` as float16" in card


def test_the_task_is_checked_against_the_weights(run, huggingface, place):
    assert "no masked-LM head" in error(run("import", "hf", "--name", "x", "--task", "mlm"), 4)
    save_own(place / "models/tiny")
    run("import", "tiny", "--name", "plain", "--to", "models", "--task", "encoder")
    assert record(run("show", "plain"))["task"] == "encoder"


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "a b"])
def test_a_name_that_is_no_name_is_a_usage_error(run, huggingface, name):
    assert "--name" in error(run("import", "hf", "--name", name), 2)


def test_an_import_that_another_folder_hides_is_told(run, huggingface, place):
    save_own(place / "models/mine")
    done = run("import", "hf", "--name", "mine")
    assert done.returncode == 0
    assert "warning: models/mine is found first" in done.stderr


def test_a_damaged_checkpoint_is_a_model_error_and_leaves_nothing(run, huggingface, tmp_path):
    path = huggingface / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    assert "model.safetensors" in error(run("import", "hf", "--name", "mine"), 4)
    assert not (tmp_path / "data").exists()


def test_verbose_tells_what_was_left_out(run, huggingface):
    path = huggingface / "model.safetensors"
    save_file(
        {**load_file(path), "cls.seq_relationship.weight": np.zeros((2, 4), np.float32)},
        path,
    )
    assert "cls.seq_relationship.weight" in run("import", "hf", "--name", "a", "-v").stderr
    assert run("import", "hf", "--name", "b").stderr == ""


# export


def test_an_export_is_a_graph_that_stands_alone(run, place):
    onnxruntime = pytest.importorskip("onnxruntime")
    save_own(place / "models/tiny")
    done = run("export", "tiny", "-o", "tiny.onnx")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (place / "models").rename(place / "away")
    session = onnxruntime.InferenceSession(place / "tiny.onnx")
    ids = np.array([[2, 5, 3]])
    [hidden] = session.run(
        ["hidden"], {"token_ids": ids, "segment_ids": ids * 0, "positions": np.zeros((1, 0), np.int64)}
    )
    assert hidden.shape == (1, 3, 4)


def test_an_export_does_not_overwrite_without_force(run, place):
    save_own(place / "models/tiny")
    (place / "out.onnx").write_bytes(b"mine")
    assert "exists" in error(run("export", "tiny", "-o", "out.onnx"), 6)
    assert (place / "out.onnx").read_bytes() == b"mine"
    assert run("export", "tiny", "-o", "out.onnx", "--force").returncode == 0
    assert (place / "out.onnx").read_bytes() != b"mine"


def test_a_graph_in_the_folder_of_the_model_is_one_of_its_files(run, place):
    save_own(place / "models/tiny")
    assert run("export", "tiny", "-o", "models/tiny/model.onnx", "--quantize", "int8").returncode == 0
    shown = record(run("show", "tiny", "--verify"))
    assert "model.onnx" in shown["files"]
    assert record(run("show", "tiny", "--verify"))["training"] == {"model.onnx": "int8"}
    run("import", "tiny", "--name", "copy", "--to", "models")
    copy = record(run("show", "copy", "--verify"))
    assert "model.onnx" not in {*copy["files"], *copy["training"]}


# What other commands share


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_names(place, shell):
    save_own(place / "models/albert-tiny")
    save_own(place / "models/bert-base")
    words = "nlpkit models show al"
    env = {
        "_NLPKIT_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": "3",
        "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    code = (
        "import sys\ntry:\n    from nlpkit.cli import main; main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numpy', 'safetensors', 'tensorflow'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "albert-tiny" in done.stdout
    assert "bert-base" not in done.stdout
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("command", ["list", "show", "path", "import", "export"])
def test_help_ends_in_an_example(run, command):
    assert f"nlpkit models {command}" in run(command, "--help").stdout.split("Example:")[1]


def test_help_loads_nothing_heavy():
    code = (
        "import sys\ntry:\n    from nlpkit.cli import main; main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numpy', 'safetensors', 'tensorflow', 'onnx'} & set(sys.modules)), file=sys.stderr)"
    )
    arguments = ["models", "import", "--help"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("auto", "auto"),
        ("cpu", "cpu"),
        ("gpu", "gpu:0"),
        ("gpu:12", "gpu:12"),
        ("cuda", None),
        ("gpu:x", None),
    ],
)
def test_a_device_is_read_or_refused(given, read):
    program = typer.Typer()

    @program.command()
    def command(
        device: options.Device = "auto",
        runtime: options.Runtime = "auto",
        dtype: options.Dtype = "float32",
        offline: options.Offline = False,
    ) -> None:
        typer.echo(device)

    done = CliRunner().invoke(program, ["--device", given])
    assert done.stdout == (f"{read}\n" if read else "")
    assert done.exit_code == (0 if read else 2)
