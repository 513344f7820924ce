"""The loop that every `nlpkit train` shares: accumulate, clip, update, average, evaluate, save, resume.

A step is one update of the weights. Everything that decides it is saved with the weights: optimizer,
averages, loss scale. Batches and dropout are pure functions of the batch's number, so a run that was
killed and resumed gives the same weights, bit for bit, as one that was not. A killed run goes back to its
last saved state, or to its beginning.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nlpkit.bert import backend
from nlpkit.bert.average import Average
from nlpkit.bert.interrupt import interrupt_flag
from nlpkit.bert.optimizers import Optimizer, OptimizerSettings
from nlpkit.bert.run_state import Arrays, RunFolder
from nlpkit.bert.schedules import Schedule
from nlpkit.errors import ModelError


class Task(Protocol):
    """What a pipeline gives to the training room."""

    @property
    def variables(self) -> dict[str, Any]:
        """The trainable tf.Variables by name."""

    def loss(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Compute the scalars of one batch inside a tf.function; `loss` is the one to minimise."""

    def batch(self, number: int) -> Mapping[str, Any]:
        """Return batch `number` of the run, which depends on nothing but the number and the seed."""

    def evaluate(self) -> dict[str, float]:
        """Measure the weights as they are on the development data; {} when there are none."""

    def save(self, metrics: Mapping[str, float]) -> None:
        """Write the model directory from the weights as they are."""


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how to train.

    Attributes:
        steps: updates in all.
        accumulate: batches of one update.
        clip_norm: the largest global norm of a gradient; 0 for no limit.
        ema_rate: decay of the average of the weights; 0 keeps none. Where there is an average, it
            is what is evaluated and saved.
        evaluate_every: steps between two evaluations, and between two saved states.
        metric: the figure of `evaluate` that should grow; the best model is the one kept.
        patience: evaluations without a better figure after which training stops; 0 for never.
        seed: of dropout.
    """

    optimizer: OptimizerSettings
    schedule: Schedule
    steps: int
    accumulate: int = 1
    clip_norm: float = 1.0
    ema_rate: float = 0.0
    evaluate_every: int = 500
    metric: str = ""
    patience: int = 0
    seed: int = 0


@dataclass
class Standing:
    """Where a run is: what of the loop's own state a resumed run needs."""

    step: int = 0
    best: float = -math.inf
    best_step: int = 0
    stale: int = 0
    evaluated: int = 0  # the last step that was evaluated
    seconds: float = 0.0


LOG_EVERY = 20

# Called with a step's number, the steps in all, and figures.
Report = Callable[[int, int, Mapping[str, float]], None]


class Trainer:
    """One run of training."""

    def __init__(self, task: Task, settings: TrainingSettings, folder: RunFolder) -> None:
        """Prepare the optimizer; `run` trains."""
        self.task = task
        self.settings = settings
        self.folder = folder
        self.standing = Standing()
        tf = backend.tensorflow()
        self._names = list(task.variables)
        self._variables = [task.variables[name] for name in self._names]
        self._optimizer = Optimizer(settings.optimizer, self._variables, self._names)
        self._average = Average(self._variables, settings.ema_rate) if settings.ema_rate else None
        self._scale = tf.Variable(_first_scale(), trainable=False, name="loss_scale")
        self._good_steps = tf.Variable(0, trainable=False, name="good_steps")
        self._sums = []
        if settings.accumulate > 1:
            self._sums = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self._variables]
            self._update_function = tf.function(self._update_from_sums)
        self._batch_function: Any = None
        self._recent: list[Mapping[str, float]] = []

    def run(self, report: Report, *, resume: bool = False) -> Standing:
        """Train to the last step.

        Args:
            report: called after each step with its figures, and with those of `evaluate`.
            resume: go on from the state in the run folder; from the beginning when there is none yet.

        Returns:
            Where the run ended.

        Raises:
            ModelError: the loss is no longer a number; the last good state is saved. Or the state to resume
                is damaged or of another run.
            OutputError: a state, the log or the model cannot be written.
            KeyboardInterrupt: Ctrl-C; the state is saved, so that the run can be resumed.
        """
        if resume:
            self._load_state()
        settings, standing = self.settings, self.standing
        with interrupt_flag() as interrupted:
            while True:
                if interrupted():
                    self._save_state()
                    raise KeyboardInterrupt
                if self._evaluation_is_due():
                    report(standing.step, settings.steps, self._evaluate())
                    self._save_state()
                if standing.step >= settings.steps or self._out_of_patience():
                    return standing
                started = time.monotonic()
                figures = self._one_step(standing.step)
                standing.step += 1
                standing.seconds += time.monotonic() - started
                self._recent.append(figures)
                if standing.step % LOG_EVERY == 0:
                    self._log_recent()
                report(standing.step, settings.steps, figures)

    def _log_recent(self) -> None:
        """Log the mean of the steps since the last row; a saved state leaves none of them unlogged."""
        if self._recent:
            means = {name: float(np.mean([row[name] for row in self._recent])) for name in self._recent[0]}
            self.folder.log({"step": self.standing.step, **means})
            self._recent = []

    def _evaluation_is_due(self) -> bool:
        # A run that was interrupted at such a step makes up for it when it is resumed.
        step = self.standing.step
        at_end = step >= self.settings.steps
        return step > self.standing.evaluated and (at_end or step % self.settings.evaluate_every == 0)

    def _out_of_patience(self) -> bool:
        return 0 < self.settings.patience <= self.standing.stale

    def _one_step(self, step: int) -> dict[str, float]:
        """Make one update and return its figures."""
        settings = self.settings
        rate = settings.optimizer.learning_rate * settings.schedule.rate(step + 1)
        learning_rate = np.float32(rate)
        first = step * settings.accumulate
        parts = [self._one_batch(first + number, learning_rate) for number in range(settings.accumulate)]
        figures = {name: sum(part[name] for part in parts) / len(parts) for name in parts[0]}
        if self._sums:
            figures |= self._update_function(learning_rate, figures["loss"])
        values = {name: float(value) for name, value in figures.items()}
        loss, norm = values["loss"], values["gradient_norm"]
        if not math.isfinite(loss + norm) and float(self._scale) <= 1:
            self._save_state()
            raise ModelError(
                f"step {step + 1} gave a loss of {loss:g} and gradients of norm {norm:g}; "
                "the state before it is saved",
                hint="--resume with a lower --lr-schedule, such as 0:0.3, or --force and a lower rate",
            )
        return {**values, "learning_rate": rate}

    def _one_batch(self, number: int, learning_rate: Any) -> dict[str, Any]:
        """Compute one batch; add its gradients to the sums, or apply them where there are none."""
        tf = backend.tensorflow()
        batch = {name: np.asarray(value) for name, value in self.task.batch(number).items()}
        if self._batch_function is None:
            # Every size may differ from batch to batch; without this each new shape is compiled anew.
            shapes = {n: tf.TensorSpec([None] * v.ndim, v.dtype) for n, v in batch.items()}
            function = self._add if self._sums else self._step
            self._batch_function = tf.function(
                function, input_signature=[shapes, tf.TensorSpec([], tf.float32)]
            )
        backend.seed_dropout((self.settings.seed % (1 << 31) << 32) + number)
        return dict(self._batch_function(batch, learning_rate))

    def _gradients(self, batch: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return dense gradients and the task's figures."""
        tf = backend.tensorflow()
        backend.number_dropouts()
        with tf.GradientTape() as tape:
            figures = self.task.loss(batch)
            scaled = figures["loss"] * self._scale
        gradients = tape.gradient(scaled, self._variables, unconnected_gradients="zero")
        return [tf.convert_to_tensor(gradient) / self._scale for gradient in gradients], figures

    def _step(self, batch: Mapping[str, Any], learning_rate: Any) -> dict[str, Any]:
        gradients, figures = self._gradients(batch)
        return {**figures, **self._update(gradients, learning_rate, figures["loss"])}

    def _add(self, batch: Mapping[str, Any], _: Any) -> dict[str, Any]:
        gradients, figures = self._gradients(batch)
        for total, gradient in zip(self._sums, gradients, strict=True):
            total.assign_add(gradient / self.settings.accumulate)
        return figures

    def _update_from_sums(self, learning_rate: Any, loss: Any) -> dict[str, Any]:
        tf = backend.tensorflow()
        figures = self._update([tf.identity(total) for total in self._sums], learning_rate, loss)
        for total in self._sums:
            total.assign(tf.zeros_like(total))
        return figures

    def _update(self, gradients: list[Any], learning_rate: Any, loss: Any) -> dict[str, Any]:
        """Clip and apply gradients; where they or the loss are no numbers, leave the weights alone."""
        tf = backend.tensorflow()
        norm = tf.linalg.global_norm(gradients)
        if self.settings.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, self.settings.clip_norm, use_norm=norm)
        good = tf.math.is_finite(norm) & tf.math.is_finite(loss)
        if good:
            self._optimizer.apply(gradients, learning_rate)
            if self._average is not None:
                self._average.update()
        self._rescale(good)
        return {"gradient_norm": norm}

    def _rescale(self, good: Any) -> None:
        """Halve the loss scale of float16 after an overflow; double it after 2,000 good steps."""
        if _first_scale() == 1:
            return
        tf = backend.tensorflow()
        self._good_steps.assign(tf.where(good, self._good_steps + 1, 0))
        grown = tf.where(self._good_steps >= 2000, self._scale * 2, self._scale)
        self._good_steps.assign(self._good_steps % 2000)
        self._scale.assign(tf.where(good, grown, tf.maximum(self._scale / 2, 1.0)))

    def _evaluate(self) -> dict[str, float]:
        """Measure, and write the model when it is the best so far or nothing can be measured."""
        with self._averaged():
            figures = self.task.evaluate()
            value = figures.get(self.settings.metric)
            if value is None or value > self.standing.best:
                self.standing.best = self.standing.best if value is None else value
                self.standing.best_step = self.standing.step
                self.standing.stale = 0
                self.task.save({**figures, "step": self.standing.step})
            else:
                self.standing.stale += 1
        self.standing.evaluated = self.standing.step
        dev = {f"dev_{name}": value for name, value in figures.items()}
        if dev:
            self._log_recent()
            self.folder.log({"step": self.standing.step, **dev})
        return dev

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        if self._average is None:
            yield
        else:
            with self._average.swapped():
                yield

    def _save_state(self) -> None:
        self._log_recent()
        self.folder.save_state(self._arrays(), vars(self.standing))

    def _arrays(self) -> Arrays:
        """Copy out everything that the next step depends on."""
        arrays = {f"weights/{n}": v.numpy() for n, v in zip(self._names, self._variables, strict=True)}
        arrays |= {f"optimizer/{name}": value for name, value in self._optimizer.state().items()}
        if self._average is not None:
            arrays |= {f"average/{name}": value for name, value in self._average.state().items()}
        return arrays | {"loop/scale": self._scale.numpy(), "loop/good_steps": self._good_steps.numpy()}

    def _load_state(self) -> None:
        saved = self.folder.load_state()
        if saved is None:
            self.folder.cut_log(0)
            return
        arrays, standing = saved
        shapes, own = ({n: np.shape(a) for n, a in some.items()} for some in (arrays, self._arrays()))
        strange = dict(shapes.items() ^ own.items()).keys() | (standing.keys() ^ vars(self.standing).keys())
        if strange:
            raise ModelError(
                f"the saved state is of another run: its {min(strange)} does not fit",
                hint="resume with the settings of the first run, or start anew with --force",
            )
        self.standing = Standing(**standing)
        self.folder.cut_log(self.standing.step)

        def part(prefix: str) -> dict[str, Any]:
            return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

        for name, variable in zip(self._names, self._variables, strict=True):
            variable.assign(arrays[f"weights/{name}"])
        self._optimizer.load_state(part("optimizer/"))
        if self._average is not None:
            self._average.load_state(part("average/"))
        self._scale.assign(arrays["loop/scale"])
        self._good_steps.assign(arrays["loop/good_steps"])


def _first_scale() -> float:
    """Return the factor on a loss before its gradient is taken: float16 would lose small gradients."""
    half = backend.keras().mixed_precision.global_policy().name == "mixed_float16"
    return 2.0**15 if half else 1.0
