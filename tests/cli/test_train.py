"""`nlpkit train` as a user meets it: whole runs, plans, and every way to be refused."""

import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nlpkit.cli.training import training_bar

ROOT = Path(__file__).parents[2]
# So small that starting TensorFlow is most of the time.
TINY = [
    *["--layers", 1, "--hidden-size", 8, "--heads", 2, "--embedding-size", 4],
    *["--vocab-size", 600, "--batch-tokens", 256, "--max-length", 32, "--device", "cpu"],
]
needs_bert4keras = pytest.mark.skipif(
    importlib.util.find_spec("bert4keras") is None, reason="needs nlpkit[bert]"
)


@pytest.fixture
def train(nlpkit, tmp_path):
    """Run `nlpkit train mlm data/ev.txt ARGS` with a tiny model and -o TMP/m."""
    return lambda *args, **more: nlpkit(
        "train", "mlm", ROOT / "data/ev.txt", "-o", tmp_path / "m", *TINY, *args, **more
    )


@pytest.fixture
def without(tmp_path):
    """Make an environment in which a package is not installed: without("bert4keras")."""

    def make(package):
        folder = tmp_path / f"no-{package}"
        folder.mkdir()
        hidden = f"""
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *more: None if name == {package!r} else find(name, *more)
"""
        (folder / "sitecustomize.py").write_text(hidden, "utf-8")
        return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}

    return make


@needs_bert4keras
def test_trains_a_model_from_text_and_protects_it(train, tmp_path):
    args = ("--steps", 3, "--accumulate", 2, "--ema", 0.9, "--dev", ROOT / "data/ai.txt")
    done = train(*args)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    (line, end) = done.stderr.splitlines()
    assert line.startswith("nlpkit: step 3: dev_mlm_loss ")
    assert end.endswith("m: the model of step 3")
    manifest = json.loads((tmp_path / "m/nlpkit.json").read_text("utf-8"))
    assert (manifest["name"], manifest["task"], manifest["architecture"]) == ("m", "mlm", "roformer")
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [
        "README.md",
        "model.safetensors",
        "nlpkit.json",
        "vocab.txt",
    ]
    (row, dev) = (tmp_path / "m.training/metrics.jsonl").read_text("utf-8").splitlines()
    assert json.loads(row).keys() == {
        *("step", "loss", "mlm_loss", "top1"),
        *("gradient_norm", "learning_rate"),
    }
    assert json.loads(dev).keys() == {"step", "dev_mlm_loss", "dev_top1"}
    before = (tmp_path / "m/model.safetensors").read_bytes()
    again = train(*args)
    assert again.returncode == 6
    assert again.stderr.splitlines()[-1] == "nlpkit: hint: --force replaces it"
    assert (tmp_path / "m/model.safetensors").read_bytes() == before


@needs_bert4keras
@pytest.mark.slow
def test_ctrl_c_saves_and_resume_goes_on(train, tmp_path):
    command = [sys.executable, "-m", "nlpkit", "train", "mlm", ROOT / "data/ev.txt", "-o", tmp_path / "m"]
    options = [*TINY, "--lr-schedule", "0:1", "--evaluate-every", 2]
    process = subprocess.Popen(
        [*map(str, command + options), "--steps", "100000"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        # Under a shell in the background, Ctrl-C is switched off.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    log = tmp_path / "m.training/metrics.jsonl"
    while not log.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors == "nlpkit: stopped; the same command with --resume goes on\n"
    last = json.loads(log.read_text("utf-8").splitlines()[-1])["step"]
    resumed = train("--lr-schedule", "0:1", "--evaluate-every", 2, "--steps", last + 3, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    manifest = json.loads((tmp_path / "m/nlpkit.json").read_text("utf-8"))
    assert manifest["metrics"] == {"step": last + 3}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, terminal):
    """What a run of two steps and an evaluation shows on standard error."""
    monkeypatch.setattr(sys, "stderr", terminal)
    with training_bar() as (progress, report):
        progress("tokens of a.txt", 10_000, 0)
        report(41, 90, {"loss": 2.5, "top1": 0.25})
        time.sleep(0.15)  # tqdm draws no oftener than every tenth of a second
        report(42, 90, {"loss": 1.25, "top1": 0.25})
        report(42, 90, {"dev_top1": 0.5})
    return terminal.getvalue()


def test_a_terminal_shows_the_loss_the_rate_and_the_time_left(monkeypatch):
    text = shown(monkeypatch, Terminal())
    assert "tokens of a.txt" in text
    last = [part for part in text.split("\r") if "loss" in part][-1]
    assert "42/90" in last
    assert "loss 1.250" in last
    assert "step" in last.partition("<")[2]  # after the time left, steps by second or seconds by step
    assert "nlpkit: step 42: dev_top1 0.5000\n" in text


def test_elsewhere_evaluations_are_lines_and_nothing_else_is_shown(monkeypatch):
    assert shown(monkeypatch, io.StringIO()) == "nlpkit: step 42: dev_top1 0.5000\n"
    monkeypatch.setattr("nlpkit.cli.messages.verbosity", -1)
    assert shown(monkeypatch, Terminal()) == ""


def test_a_dry_run_shows_settings_and_sizes_and_touches_nothing(train, without, tmp_path):
    # Without TensorFlow: a plan is for the machine at hand, which need not be the one that trains.
    environment = without("tensorflow")
    before = sorted(tmp_path.iterdir())
    done = train(
        *("--dry-run", "--steps", 10, "--optimizer", "lion", "--lr-schedule", "5:1,10:0"), env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    plan = json.loads(done.stdout)
    assert plan.keys() == {"settings", "parameters", "weights_bytes", "state_bytes"}
    assert plan["settings"]["files"] == ["ev.txt"]
    assert plan["settings"]["optimizer"]["name"] == "lion"
    # Embedding 600 x 4 and segments 2 x 4 with their norm, the map to 8, one layer, and the head.
    layer = 4 * (8 * 8 + 8) + 2 * 2 * 8 + (8 * 32 + 32) + (32 * 8 + 8)
    expected = 600 * 4 + 2 * 4 + 2 * 4 + (4 * 8 + 8) + layer + (8 * 4 + 4 + 2 * 4 + 600)
    assert plan["parameters"] == expected
    assert plan["weights_bytes"] == 2 * expected
    assert plan["state_bytes"] == 3 * 4 * expected + 8  # weights, gradients, and lion's one moment
    assert sorted(tmp_path.iterdir()) == before


def test_a_missing_package_costs_exit_5_with_both_commands(train, without, tmp_path):
    environment = without("bert4keras")
    done = train("--steps", 1, env=environment)
    assert done.returncode == 5
    error, hint = done.stderr.splitlines()
    assert error == "nlpkit: error: this needs bert4keras, which is not installed"
    assert "pip install 'nlpkit[bert]'" in hint
    assert "pip install --no-deps bert4keras==0.11.5" in hint
    assert [path.name for path in tmp_path.iterdir()] == ["no-bert4keras"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--repeat", "1,2"], "'1,2': one number of 0 or more for each of the files, here 1"),
        (["--repeat", "often"], "'often' is no list of numbers"),
        (["--repeat", "-1"], "one number of 0 or more"),
        (["--repeat", "0"], "one number of 0 or more"),
        (["--repeat", "nan"], "one number of 0 or more"),
        (["--lr-schedule", "1000"], "'1000' is not STEP:MULTIPLE"),
        (["--lr-schedule", "5:1,3:0"], "steps must grow"),
        (["--learning-rate", "0"], "learning_rate is 0"),
        (["--learning-rate", "nan"], "learning_rate is nan"),
        (["--optimizer", "adafactor", "--layer-adaptation"], "do not go together"),
        (["--optimizer", "sgd"], "'sgd' is not one of"),
        (["-", "--dev", "-"], "standard input can be read only once"),
        (["--steps", "0"], "--steps"),
        (["--warmup", "1"], "--warmup"),
        (["--ema", "1"], "--ema"),
    ],
    ids=str,
)
def test_bad_options_are_usage_errors(train, tmp_path, args, message):
    done = train(*args)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["gone.txt"], 3, "gone.txt"),
        (["--dev", "gone.txt"], 3, "gone.txt"),
        (["--resume"], 3, "no run to resume"),
        (["--start", "no-such-model"], 4, "no-such-model"),
        (["--teacher", "./no-such-folder"], 4, "no-such-folder"),
        (["--hidden-size", "9"], 4, "cannot be split among 2 heads"),
        (["--architecture", "bert", "--max-length", "600"], 4, "the model can take 512"),
    ],
    ids=str,
)
def test_what_cannot_work_is_told_at_once(train, tmp_path, args, code, message):
    done = train(*args)
    assert done.returncode == code, done.stderr
    assert message in done.stderr.splitlines()[0]
    assert not list(tmp_path.iterdir())
