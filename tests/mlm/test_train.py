"""Training a masked LM from text to model directory; what is refused is refused before any work."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from nlpkit.bert import backend
from nlpkit.bert.optimizers import OptimizerSettings
from nlpkit.errors import InputError, ModelError, OutputError
from nlpkit.mlm.settings import MlmSettings
from nlpkit.mlm.train import plan_mlm, train_mlm
from nlpkit.models import Manifest, read_manifest, read_vocabulary, read_weights, save_model, verify

DATA = Path(__file__).parents[2] / "data"
SHAPE = {
    "architecture": "bert",
    "num_hidden_layers": 1,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "embedding_size": 4,
    "hidden_dropout_prob": 0.2,
    "attention_probs_dropout_prob": 0.2,
}
needs_bert4keras = pytest.mark.skipif(
    importlib.util.find_spec("bert4keras") is None, reason="needs nlpkit[bert]"
)


@pytest.fixture(scope="module", autouse=True)
def _not_for_other_tests():
    """Switch off again what training switches on for the whole process."""
    yield
    if importlib.util.find_spec("tensorflow") is not None:
        from tensorflow.python.framework import config

        config.disable_op_determinism()


def settings_of(output, **options):
    options = {
        "files": [DATA / "ev.txt", DATA / "ai.txt"],
        "repeats": [1, 0.5],
        "dev": DATA / "city.txt",
        "vocab_size": 700,
        "shape": SHAPE,
        "max_tokens": 30,
        "batch_tokens": 256,
        "steps": 6,
        "accumulate": 2,
        "optimizer": OptimizerSettings(learning_rate=0.01, weight_decay=0.01),
        "ema_rate": 0.9,
        "evaluate_every": 2,
        "device": "cpu",
        "seed": 3,
    } | options
    return MlmSettings(output=output, **options)


def train(settings, *, report=lambda *_: None, **options):
    return train_mlm(settings, progress=lambda *_: None, report=report, warn=lambda _: None, **options)


def kill_at(step):
    def report(now, _steps, figures):
        if now == step and "loss" in figures:
            raise EOFError

    return report


def files_in(folder):
    """The bytes of every file, but for times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "state.safetensors":
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A model that was trained without a break; its run lies beside it."""
    output = tmp_path_factory.mktemp("whole") / "m"
    standing = train(settings_of(output))
    assert standing.step == 6
    return output


@needs_bert4keras
def test_a_killed_run_gives_the_same_model_and_run_when_it_is_resumed(tmp_path, whole):
    # With dropout, an average, two batches a step, and evaluations traced in between.
    output = tmp_path / "m"
    with pytest.raises(EOFError):
        train(settings_of(output), report=kill_at(5))
    train(settings_of(output), resume=True)
    assert files_in(output) == files_in(whole)
    assert files_in(tmp_path / "m.training") == files_in(whole.with_name("m.training"))
    runs = [folder / "state.safetensors" for folder in (tmp_path / "m.training", whole.parent / "m.training")]
    states = [{name: value.tobytes() for name, value in read_weights(run).items()} for run in runs]
    assert states[0] == states[1]


@needs_bert4keras
def test_the_model_directory_is_whole_and_says_how_it_was_made(whole):
    manifest = read_manifest(whole)
    verify(whole, manifest)
    assert (manifest.task, manifest.architecture) == ("mlm", "bert")
    assert manifest.config["vocab_size"] == len(read_vocabulary(whole / "vocab.txt"))
    assert manifest.training["files"] == ["ev.txt", "ai.txt"]
    assert manifest.training["optimizer"]["learning_rate"] == 0.01
    assert manifest.metrics.keys() == {"mlm_loss", "top1", "step"}
    text = (whole / "README.md").read_text("utf-8")
    assert f"after {manifest.metrics['step']} steps" in text
    assert str(DATA) not in text + (whole / "nlpkit.json").read_text("utf-8")


@needs_bert4keras
def test_the_best_of_the_development_text_is_kept(whole):
    rows = [
        json.loads(line)
        for line in (whole.parent / "m.training/metrics.jsonl").read_text("utf-8").splitlines()
    ]
    measured = {row["step"]: row["dev_top1"] for row in rows if "dev_top1" in row}
    assert measured.keys() == {2, 4, 6}
    assert read_manifest(whole).metrics["step"] == max(measured, key=lambda step: (measured[step], -step))


@needs_bert4keras
def test_a_model_goes_on_from_another_and_listens_to_a_teacher(tmp_path, whole):
    seen = []
    settings = settings_of(
        tmp_path / "m", start=whole, teacher=whole, dev=None, steps=1, accumulate=1, ema_rate=0
    )
    train(settings, report=lambda step, steps, figures: seen.append(figures))
    assert {"loss", "mlm_loss", "teacher_loss", "hidden_loss", "top1"} <= seen[0].keys()
    manifest, before = read_manifest(tmp_path / "m"), read_manifest(whole)
    assert manifest.config == before.config
    assert (tmp_path / "m/vocab.txt").read_bytes() == (whole / "vocab.txt").read_bytes()
    assert {"vocab_size", "shape"}.isdisjoint(manifest.training)
    assert manifest.metrics == {"step": 1}
    assert "there was no `--dev`" in (tmp_path / "m/README.md").read_text("utf-8")
    # One small step from where the other model stood.
    old, new = (read_weights(folder / "model.safetensors") for folder in (whole, tmp_path / "m"))
    assert max(np.abs(new[name] - old[name]).max() for name in old) < 0.05
    assert any((new[name] != old[name]).any() for name in old)


@needs_bert4keras
def test_plans_the_sizes_that_training_then_has(tmp_path, whole):
    vocab_size = read_manifest(whole).config["vocab_size"]
    settings = settings_of(tmp_path / "m", vocab_size=vocab_size)
    plan = plan_mlm(settings)
    weights = read_weights(whole / "model.safetensors")
    assert plan["parameters"] == sum(value.size for value in weights.values())
    # Adam's two moments and its count; weights, gradients, their sums, and the average.
    assert plan["state_bytes"] == plan["parameters"] * 4 * 6 + 8
    assert plan["settings"] == settings.to_json()
    assert plan_mlm(dataclasses.replace(settings, ema_rate=0, accumulate=1))["state_bytes"] == (
        plan["parameters"] * 4 * 4 + 8
    )
    assert not list(tmp_path.iterdir())


@pytest.fixture
def no_work(monkeypatch):
    """Fail where TensorFlow is started: everything here must have been refused by then."""

    def start(*_, **__):
        raise AssertionError("too late")

    monkeypatch.setattr(backend, "start", start)


def model_without_head(folder):
    from nlpkit.bert.config import ModelConfig
    from nlpkit.bert.names import expected_weights

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "一"]
    config = ModelConfig.from_json("bert", {**SHAPE, "vocab_size": len(tokens)})
    weights = {name: np.ones(shape, np.float32) for name, shape in expected_weights(config).items()}
    manifest = Manifest("e", "encoder", "bert", config.to_json(), {"lower_case": True})
    save_model(folder, manifest, tokens, weights, "A card.\n")
    return folder


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"files": [Path("gone.txt")]}, InputError, r"gone\.txt"),
        ({"dev": Path("gone.txt")}, InputError, r"gone\.txt"),
        ({"lexicon": Path("gone.txt")}, InputError, r"gone\.txt"),
        ({"start": "headless"}, ModelError, "no MLM head"),
        ({"teacher": "headless"}, ModelError, "no MLM head"),
        ({"max_tokens": 511}, ModelError, "up to 520 tokens, but the model can take 512"),
        ({"shape": {**SHAPE, "num_attention_heads": 3}}, ModelError, "3 heads"),
        ({"output": Path("a b")}, OutputError, "'a b' cannot be the name"),
        ({"output": Path("..")}, OutputError, "cannot be the name"),
        ({"output": Path(".")}, OutputError, "cannot be the name"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    tmp_path, monkeypatch, options, error, message
):
    monkeypatch.chdir(tmp_path)
    model_without_head(tmp_path / "headless")
    options = {name: Path(value) if value == "headless" else value for name, value in options.items()}
    settings = dataclasses.replace(settings_of(Path("m")), **options)
    with pytest.raises(error, match=message) as caught:
        train(settings)
    assert [path.name for path in tmp_path.iterdir()] == ["headless"]
    if "max_tokens" in options:
        assert caught.value.hint == "--max-length 512"


@pytest.mark.usefixtures("no_work")
def test_neither_models_nor_runs_nor_other_folders_are_written_over(tmp_path):
    model = model_without_head(tmp_path / "m")
    with pytest.raises(OutputError, match="the folder exists") as caught:
        train(settings_of(model))
    assert caught.value.hint == "--force replaces it"
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/thesis.txt").write_text("years of work", "utf-8")
    (tmp_path / "n.training").mkdir()
    (tmp_path / "n.training/state.safetensors").write_bytes(b"x")
    for options in ({"force": True}, {"resume": True}):
        with pytest.raises(OutputError, match="no model directory"):
            train(settings_of(tmp_path / "texts"), **options)
    with pytest.raises(OutputError, match="holds a training run"):
        train(settings_of(tmp_path / "n"))
    with pytest.raises(InputError, match="no run to resume"):
        train(settings_of(tmp_path / "o"), resume=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "n.training", "texts"]


@pytest.mark.parametrize(
    ("steps", "options", "expected"),
    [
        (4, {"warmup": 0.5}, [0.5, 1, 2 / 3, 1 / 3]),
        (3, {"warmup": 0}, [0.75, 0.5, 0.25]),
        (1, {"warmup": 0}, [0.5]),
        (1, {"warmup": 0.99}, [1]),
        (3, {"warmup": 0.99}, [1 / 3, 2 / 3, 1]),
        (5, {"schedule": "2:1,4:0.5"}, [0.5, 1, 0.75, 0.5, 0.5]),
    ],
)
def test_the_rate_rises_and_falls_and_no_step_is_without(steps, options, expected):
    schedule = settings_of(Path("m"), **options).training(steps).schedule
    assert [schedule.rate(step) for step in range(1, steps + 1)] == pytest.approx(expected)
