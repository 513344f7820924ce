"""The training room: exact resume, accumulation, averages, the best of dev, and what ends a run."""

import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from nlpkit.bert import backend
from nlpkit.bert.optimizers import OptimizerSettings
from nlpkit.bert.run_state import RunFolder
from nlpkit.bert.schedules import Schedule, linear
from nlpkit.bert.training import LOG_EVERY, Standing, Trainer, TrainingSettings
from nlpkit.errors import ModelError, OutputError

if importlib.util.find_spec("bert4keras") is None:
    pytest.skip("needs nlpkit[bert]", allow_module_level=True)

# As good as plain gradient descent at rate 1: Adam's root of the second moment is nothing against epsilon.
DESCENT = OptimizerSettings(learning_rate=1e6, epsilon=1e6)


class Stopped(Exception):
    """The process dies, but for the sake of a test only this far."""


class LinearTask:
    """Least squares with dropout; batches of five rows that depend on their number alone."""

    def __init__(self, *, dropout=0.5, scores=None, stop_at=None, joined=1):
        tf = backend.tensorflow()
        backend.bert4keras("layers")  # from here on dropout is ours
        random = np.random.default_rng(1)
        self.variables = {
            "kernel": tf.Variable(random.normal(size=(4, 3)).astype(np.float32), name="kernel"),
            "bias": tf.Variable(np.zeros(3, np.float32), name="bias"),
        }
        self.saved = []
        self.asked = []
        self._drop = backend.keras().layers.Dropout(dropout)
        self._scores = scores
        self._stop_at = stop_at
        self._joined = joined

    def batch(self, number):
        self.asked.append(number)
        if number == self._stop_at:
            raise Stopped
        parts = [np.random.default_rng([7, number * self._joined + i]) for i in range(self._joined)]
        x, y = (np.concatenate([part.normal(size=(5, n)) for part in parts]) for n in (4, 3))
        return {"x": x.astype(np.float32), "y": y.astype(np.float32)}

    def loss(self, batch):
        tf = backend.tensorflow()
        found = self._drop(batch["x"], training=True) @ self.variables["kernel"] + self.variables["bias"]
        return {"loss": tf.reduce_mean((self._drop(found, training=True) - batch["y"]) ** 2)}

    def evaluate(self):
        if self._scores is not None:
            return {"score": self._scores.pop(0)}
        tf = backend.tensorflow()
        # A function with dropout of its own, traced between the steps.
        hidden = tf.function(lambda x: self._drop(x, training=True))(np.ones((2, 2), np.float32))
        return {"score": float(self.variables["kernel"].numpy().sum()), "ones": float(hidden[0, 0] * 0)}

    def save(self, metrics):
        self.saved.append((dict(metrics), weights_of(self)))


class FormulaTask:
    """A loss written as a formula of one weight vector w and the batch's number."""

    def __init__(self, formula, start=(0.0, 0.0)):
        self.variables = {"w": backend.tensorflow().Variable(np.float32(start), name="w")}
        self.saved = []
        self._formula = formula

    def batch(self, number):
        return {"number": np.float32(number)}

    def loss(self, batch):
        return {"loss": self._formula(self.variables["w"], batch["number"])}

    def evaluate(self):
        return {}

    def save(self, metrics):
        self.saved.append((dict(metrics), weights_of(self)["w"].tolist()))


def weights_of(task):
    return {name: variable.numpy() for name, variable in task.variables.items()}


def run_of(steps=7, **options):
    options = {"optimizer": OptimizerSettings(learning_rate=0.1), "schedule": Schedule()} | options
    return TrainingSettings(steps=steps, **options)


def train(folder, task, settings, *, resume=False, report=lambda *_: None):
    folder.mkdir(exist_ok=True)
    return Trainer(task, settings, RunFolder(folder)).run(report, resume=resume)


def rows(folder):
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def everything(folder, *tasks):
    """The state, the log and the last model that was saved, without what a clock decides."""
    arrays, standing = RunFolder(folder).load_state()
    del standing["seconds"]
    packed = {name: value.tobytes() for name, value in arrays.items()}
    metrics, weights = [one for task in tasks for one in task.saved][-1]
    return packed, standing, rows(folder), metrics, {name: v.tobytes() for name, v in weights.items()}


RUNS = {
    "adam, average, two batches": run_of(accumulate=2, ema_rate=0.9, evaluate_every=2, metric="score"),
    "lamb, lookahead": run_of(
        optimizer=OptimizerSettings(
            learning_rate=0.1, weight_decay=0.1, layer_adaptation=True, lookahead=True
        ),
        schedule=linear(7, 2),
        evaluate_every=3,
        seed=1 << 40,
    ),
    "adafactor": run_of(optimizer=OptimizerSettings("adafactor", 0.1), accumulate=3, evaluate_every=2),
}


@pytest.mark.parametrize(
    ("name", "killed_at"),
    [
        ("adam, average, two batches", 0),
        ("adam, average, two batches", 5),  # in the middle of a step, after one that was saved
        ("lamb, lookahead", 6),  # the last step; lookahead goes back at the fifth
        ("adafactor", 4),  # before the first state
    ],
)
def test_a_run_killed_at_any_step_and_resumed_is_the_run_that_was_not(tmp_path, name, killed_at):
    whole, killed, resumed = LinearTask(), LinearTask(stop_at=killed_at), LinearTask()
    train(tmp_path / "whole", whole, RUNS[name])
    with pytest.raises(Stopped):
        train(tmp_path / "parts", killed, RUNS[name])
    train(tmp_path / "parts", resumed, RUNS[name], resume=True)
    assert everything(tmp_path / "parts", killed, resumed) == everything(tmp_path / "whole", whole)


def test_a_run_whose_process_is_killed_goes_on_exactly(tmp_path):
    settings = RUNS["adam, average, two batches"]
    killed = subprocess.run([sys.executable, __file__, tmp_path / "killed"], check=False)
    assert killed.returncode == -signal.SIGKILL
    resumed, whole = LinearTask(), LinearTask()
    train(tmp_path / "killed", resumed, settings, resume=True)
    train(tmp_path / "whole", whole, settings)
    assert min(resumed.asked) == 8  # step 4 was saved, and nothing was done twice before it
    states = [RunFolder(tmp_path / name).load_state() for name in ("killed", "whole")]
    packed = [{name: value.tobytes() for name, value in arrays.items()} for arrays, _ in states]
    assert packed[0] == packed[1]
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")


def test_a_longer_schedule_of_the_same_text_is_the_same_run(tmp_path):
    options = {"schedule": Schedule.parse("2:1,9:0.1"), "ema_rate": 0.9, "accumulate": 2}
    whole, first, second = LinearTask(), LinearTask(), LinearTask()
    train(tmp_path / "whole", whole, run_of(11, **options))
    train(tmp_path / "parts", first, run_of(6, **options))
    train(tmp_path / "parts", second, run_of(11, **options), resume=True)
    whole_state, _ = RunFolder(tmp_path / "whole").load_state()
    parts_state, _ = RunFolder(tmp_path / "parts").load_state()
    assert {n: v.tobytes() for n, v in whole_state.items()} == {
        n: v.tobytes() for n, v in parts_state.items()
    }


def test_dropout_is_new_in_every_batch_and_the_same_in_the_same_batch(tmp_path):
    tf = backend.tensorflow()
    seen = []

    def formula(w, number):
        drop = backend.keras().layers.Dropout(0.5)
        first, second = drop(tf.ones(64), training=True), drop(tf.ones(64), training=True)
        tf.py_function(
            lambda *values: seen.append([v.numpy().tobytes() for v in values]), [first, second], []
        )
        return tf.reduce_sum(w)

    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        task = FormulaTask(formula)
        backend.bert4keras("layers")
        train(tmp_path / name, task, run_of(2, accumulate=2, seed=seed))
    runs = seen[:4], seen[4:8], seen[8:]
    assert runs[0] == runs[1]
    flat = [mask for batch in runs[0] + runs[2] for mask in batch]
    assert len(set(flat)) == len(flat) == 16


def test_several_batches_of_one_update_are_one_large_batch(tmp_path):
    parts, joined = LinearTask(dropout=0), LinearTask(dropout=0, joined=3)
    train(tmp_path / "parts", parts, run_of(4, optimizer=DESCENT, accumulate=3))
    train(tmp_path / "joined", joined, run_of(4, optimizer=DESCENT))
    for name, value in weights_of(joined).items():
        np.testing.assert_allclose(weights_of(parts)[name], value, rtol=1e-4, atol=1e-5)
    assert rows(tmp_path / "parts")[0]["loss"] == pytest.approx(
        rows(tmp_path / "joined")[0]["loss"], rel=1e-4
    )


def test_every_batch_is_in_one_update_and_every_update_counts(tmp_path):
    # The gradient of batch n is n: updates of 2 take the means of (0, 1), (2, 3) and (4, 5).
    task = FormulaTask(lambda w, number: backend.tensorflow().reduce_sum(w) * number)
    seen = []
    train(
        tmp_path,
        task,
        run_of(3, optimizer=OptimizerSettings("lion", 0.1), accumulate=2, clip_norm=0),
        report=lambda step, steps, figures: seen.append((step, steps, figures.get("gradient_norm"))),
    )
    root = 2**0.5
    expected = [(1, 3, 0.5 * root), (2, 3, 2.5 * root), (3, 3, 4.5 * root), (3, 3, None)]
    assert [row[:2] for row in seen] == [row[:2] for row in expected]
    np.testing.assert_allclose([row[2] for row in seen[:3]], [row[2] for row in expected[:3]], rtol=1e-6)
    # Lion moves every weight by the rate at every update.
    np.testing.assert_allclose(weights_of(task)["w"], [-0.3, -0.3], rtol=1e-5)


def test_the_first_update_is_at_step_1_of_the_schedule(tmp_path):
    task = FormulaTask(lambda w, number: backend.tensorflow().reduce_sum(w) + 0 * number)
    rates = []
    settings = run_of(4, optimizer=OptimizerSettings("lion", 0.1), schedule=Schedule.parse("2:1,4:0"))
    train(tmp_path, task, settings, report=lambda *args: rates.append(args[2].get("learning_rate")))
    assert rates[:4] == pytest.approx([0.05, 0.1, 0.05, 0])
    np.testing.assert_allclose(weights_of(task)["w"], [-0.2, -0.2], rtol=1e-5)


@pytest.mark.parametrize(("clip_norm", "moved"), [(0, [-3, -4]), (10, [-3, -4]), (1, [-0.6, -0.8])])
def test_gradients_are_clipped_to_their_norm(tmp_path, clip_norm, moved):
    task = FormulaTask(lambda w, number: backend.tensorflow().reduce_sum(w * [3.0, 4.0]))
    train(tmp_path, task, run_of(1, optimizer=DESCENT, clip_norm=clip_norm))
    np.testing.assert_allclose(weights_of(task)["w"], moved, rtol=1e-4)
    assert rows(tmp_path)[0]["gradient_norm"] == pytest.approx(5)


def test_the_average_is_measured_and_saved_and_training_goes_on_from_the_weights(tmp_path):
    def formula(w, number):
        return backend.tensorflow().reduce_sum(w) + 0 * number  # a step of -1, but for the clipping

    task = FormulaTask(formula, start=(10.0,))
    train(tmp_path, task, run_of(3, optimizer=OptimizerSettings("lion", 1.0), ema_rate=0.2, evaluate_every=1))
    # Weights 9, 8, 7. The decay warms up: min(.2, (1 + t) / (10 + t)) = .1, 2/11, .2.
    first = 0.1 * 10 + 0.9 * 9
    second = 2 / 11 * first + 9 / 11 * 8
    third = 0.2 * second + 0.8 * 7
    averages = [weights for _, weights in task.saved]
    np.testing.assert_allclose(averages, [[first], [second], [third]], rtol=1e-6)
    arrays, _ = RunFolder(tmp_path).load_state()
    assert arrays["weights/w"].tolist() == weights_of(task)["w"].tolist() == [7]


def test_the_best_model_stays_and_patience_ends_the_run(tmp_path):
    task = LinearTask(scores=[0.1, 0.05, 0.3, 0.3, 0.2, 0.9])
    standing = train(tmp_path, task, run_of(100, evaluate_every=2, metric="score", patience=2))
    assert [metrics for metrics, _ in task.saved] == [{"score": 0.1, "step": 2}, {"score": 0.3, "step": 6}]
    assert (standing.step, standing.best, standing.best_step) == (10, 0.3, 6)
    assert [row["dev_score"] for row in rows(tmp_path) if "dev_score" in row] == [0.1, 0.05, 0.3, 0.3, 0.2]


def test_a_run_out_of_patience_goes_on_with_more_of_it(tmp_path):
    train(tmp_path, LinearTask(scores=[0.3, 0.2]), run_of(9, evaluate_every=2, metric="score", patience=1))
    task = LinearTask(scores=[0.1, 0.4, 0.5])
    standing = train(tmp_path, task, run_of(9, evaluate_every=2, metric="score", patience=3), resume=True)
    assert (standing.step, standing.best_step) == (9, 9)
    assert [metrics["step"] for metrics, _ in task.saved] == [8, 9]


def test_without_dev_text_the_newest_model_is_saved(tmp_path):
    task = FormulaTask(lambda w, number: backend.tensorflow().reduce_sum(w))
    train(tmp_path, task, run_of(5, evaluate_every=2, patience=1))
    assert [metrics for metrics, _ in task.saved] == [{"step": 2}, {"step": 4}, {"step": 5}]


def test_every_step_is_in_one_row_of_the_log(tmp_path):
    task = FormulaTask(lambda w, number: 0 * backend.tensorflow().reduce_sum(w) + number)
    train(tmp_path, task, run_of(3 * LOG_EVERY - 5, evaluate_every=LOG_EVERY + 10))
    found = [(row["step"], row["loss"]) for row in rows(tmp_path)]
    # The losses are 0, 1, 2, ...; states are saved at steps 30 and 55.
    assert found == [(20, 9.5), (30, 24.5), (40, 34.5), (55, 47)]


def test_the_log_of_a_resumed_run_has_no_step_twice(tmp_path):
    def train_it(**more):
        task = FormulaTask(lambda w, number: 0 * backend.tensorflow().reduce_sum(w) + number)
        train(tmp_path, task, run_of(3 * LOG_EVERY - 5, evaluate_every=LOG_EVERY + 10), **more)

    def killed(step, _steps, _figures):
        if step == 45:
            raise Stopped

    with pytest.raises(Stopped):
        train_it(report=killed)
    assert [row["step"] for row in rows(tmp_path)] == [20, 30, 40]
    train_it(resume=True)
    assert [(row["step"], row["loss"]) for row in rows(tmp_path)] == [
        (20, 9.5),
        (30, 24.5),
        (40, 34.5),
        (55, 47),
    ]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run_before_it_does_harm(tmp_path, bad, accumulate):
    tf = backend.tensorflow()
    settings = run_of(9, accumulate=accumulate, evaluate_every=2, ema_rate=0.5)
    good = FormulaTask(lambda w, number: tf.reduce_sum((w - 1) ** 2))
    train(tmp_path / "good", good, run_of(3, accumulate=accumulate, evaluate_every=2, ema_rate=0.5))
    last = 4 * accumulate - 1  # the last batch of step 4
    task = FormulaTask(lambda w, number: tf.reduce_sum((w - 1) ** 2) + tf.where(number == last, bad, 0.0))
    with pytest.raises(ModelError, match=r"step 4 gave a loss of (nan|inf)") as caught:
        train(tmp_path / "bad", task, settings)
    assert "--resume" in caught.value.hint
    arrays, standing = RunFolder(tmp_path / "bad").load_state()
    assert standing["step"] == 3
    np.testing.assert_array_equal(arrays["weights/w"], weights_of(good)["w"])
    np.testing.assert_array_equal(weights_of(task)["w"], weights_of(good)["w"])
    assert rows(tmp_path / "bad")[-1]["step"] == 3
    cured = FormulaTask(lambda w, number: tf.reduce_sum((w - 1) ** 2))
    assert train(tmp_path / "bad", cured, settings, resume=True).step == 9


@pytest.fixture
def half_precision():
    policy = backend.keras().mixed_precision
    before = policy.global_policy()
    policy.set_global_policy("mixed_float16")
    yield
    policy.set_global_policy(before)


@pytest.mark.usefixtures("half_precision")
def test_float16_halves_its_scale_until_the_gradient_fits_and_goes_on(tmp_path):
    tf = backend.tensorflow()

    def formula(w, number):
        # The gradient of 8 times the scale must stay below 65,504: 2 ** 12 is the first that does.
        return tf.reduce_sum(tf.cast(tf.cast(w, tf.float16) * 8, tf.float32))

    moves = []
    task = FormulaTask(formula)
    train(
        tmp_path,
        task,
        run_of(5, optimizer=OptimizerSettings("lion", 1.0)),
        report=lambda *_: moves.append(float(task.variables["w"][0])),
    )
    assert moves == [0, 0, 0, -1, -2, -2]
    arrays, _ = RunFolder(tmp_path).load_state()
    assert (arrays["loop/scale"], arrays["loop/good_steps"]) == (2**12, 2)


@pytest.mark.usefixtures("half_precision")
def test_float16_doubles_its_scale_after_2000_good_steps(tmp_path):
    formula = lambda w, number: backend.tensorflow().reduce_sum(w)  # noqa: E731
    train(tmp_path, FormulaTask(formula), run_of(1))
    arrays, standing = RunFolder(tmp_path).load_state()
    RunFolder(tmp_path).save_state({**arrays, "loop/good_steps": np.array(1999, np.int32)}, standing)
    train(tmp_path, FormulaTask(formula), run_of(2), resume=True)
    arrays, _ = RunFolder(tmp_path).load_state()
    assert (arrays["loop/scale"], arrays["loop/good_steps"]) == (2**16, 0)


@pytest.fixture
def interrupts():
    """Let Ctrl-C act as it does at a terminal, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler, "the handler was put back"


def press(*steps, times=1):
    """Make a report that presses Ctrl-C after some steps."""

    def report(step, _steps, figures):
        if step in steps and "loss" in figures:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    return report


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize("step", [3, 4, 7])  # at a step like any other, at an evaluation, at the end
def test_ctrl_c_saves_whole_steps_and_the_run_goes_on(tmp_path, step):
    settings = RUNS["adam, average, two batches"]
    whole, first, resumed = LinearTask(), LinearTask(), LinearTask()
    train(tmp_path / "whole", whole, settings)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", first, settings, report=press(step))
    assert RunFolder(tmp_path / "parts").load_state()[1]["step"] == step
    train(tmp_path / "parts", resumed, settings, resume=True)
    expected, found = everything(tmp_path / "whole", whole), everything(tmp_path / "parts", first, resumed)
    # The log has a row more, that of the steps before the stop.
    logs = [[row for row in log if "dev_score" in row] for log in (expected[2], found[2])]
    assert logs[0] == logs[1]
    assert (*expected[:2], *expected[3:]) == (*found[:2], *found[3:])


@pytest.mark.usefixtures("interrupts")
def test_a_second_ctrl_c_acts_at_once(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, LinearTask(), run_of(9), report=press(2, times=2))
    assert RunFolder(tmp_path).load_state() is None


def test_ctrl_c_that_was_switched_off_stays_so(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert train(tmp_path, LinearTask(), run_of(3), report=press(1, times=2)).step == 3
    except KeyboardInterrupt:
        pytest.fail("it was switched on")
    finally:
        signal.signal(signal.SIGINT, before)


def test_training_works_outside_the_main_thread(tmp_path):
    found = []
    settings = run_of(2)
    thread = threading.Thread(target=lambda: found.append(train(tmp_path, LinearTask(), settings).step))
    thread.start()
    thread.join()
    assert found == [2]


def test_a_full_disk_leaves_the_state_before_it(tmp_path):
    folder = RunFolder(tmp_path)
    train(tmp_path, LinearTask(), run_of(2))
    before = folder.load_state()
    size = (tmp_path / "state.safetensors").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 100, hard))
    try:
        with pytest.raises(OutputError, match=r"state\.safetensors: cannot write"):
            train(tmp_path, LinearTask(), run_of(4), resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    after = folder.load_state()
    assert before[1] == after[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "state.safetensors"]
    assert train(tmp_path, LinearTask(), run_of(4), resume=True).step == 4


@pytest.mark.parametrize(
    "other",
    [
        {"optimizer": OptimizerSettings("lion", 0.1)},
        {"optimizer": OptimizerSettings(learning_rate=0.1, lookahead=True)},
        {"ema_rate": 0.5},
    ],
    ids=["optimizer", "lookahead", "average"],
)
def test_refuses_the_state_of_another_run(tmp_path, other):
    train(tmp_path, LinearTask(), run_of(2))
    task = LinearTask()
    before = weights_of(task)
    with pytest.raises(ModelError, match="of another run") as caught:
        train(tmp_path, task, run_of(4, **other), resume=True)
    assert "--force" in caught.value.hint
    assert all((before[name] == value).all() for name, value in weights_of(task).items())


def test_refuses_the_state_of_another_model(tmp_path):
    train(tmp_path, LinearTask(), run_of(2))
    with pytest.raises(ModelError, match="of another run"):
        train(tmp_path, FormulaTask(lambda w, number: w[0]), run_of(4), resume=True)


def test_refuses_a_state_with_a_strange_standing(tmp_path):
    train(tmp_path, LinearTask(), run_of(2))
    arrays, _ = RunFolder(tmp_path).load_state()
    RunFolder(tmp_path).save_state(arrays, {"steps": 3})
    with pytest.raises(ModelError, match="of another run"):
        train(tmp_path, LinearTask(), run_of(4), resume=True)


def test_a_finished_run_resumes_to_nothing(tmp_path):
    train(tmp_path, LinearTask(), run_of(2))
    task = LinearTask()
    standing = train(tmp_path, task, run_of(2), resume=True)
    assert isinstance(standing, Standing)
    assert (standing.step, task.asked, task.saved) == (2, [], [])


def test_batches_of_every_size_compile_once(tmp_path):
    tf = backend.tensorflow()
    traces = []

    class Growing(FormulaTask):
        def batch(self, number):
            return {"x": np.ones((number + 1, 2 * number + 1), np.float32)}

        def loss(self, batch):
            traces.append(1)
            return {"loss": tf.reduce_mean(batch["x"]) * tf.reduce_sum(self.variables["w"])}

    train(tmp_path, Growing(None), run_of(6))
    assert len(traces) == 1


if __name__ == "__main__":
    # What test_a_run_whose_process_is_killed_goes_on_exactly starts: it dies in the middle of step 6.
    class Dying(LinearTask):
        def batch(self, number):
            if number == 11:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().batch(number)

    train(Path(sys.argv[1]), Dying(), RUNS["adam, average, two batches"])
