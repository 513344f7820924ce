"""A batch of masked-LM training: our loop against bert4keras' way, Keras' `fit` with bert4keras' Adam.

    python benchmarks/bench_training.py [--repeats 7] [--batches 12]

One model of 4 layers of 312, vocabulary 8,000, batches of 32 x 64 tokens with 15 % masked, the same loss
function for all. All rows in one process, in turn; the first turn, in which TensorFlow compiles, is not
counted. The figure is seconds for a batch. Our loop updates the weights after every second batch where it
says so, and `fit` after every batch, as bert4keras' own accumulation does too (with an update of zero).
"""

import argparse
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import report, seconds_in_turn, summary

from nlpkit.bert import backend
from nlpkit.bert.config import ModelConfig
from nlpkit.bert.optimizers import OptimizerSettings
from nlpkit.bert.run_state import RunFolder
from nlpkit.bert.schedules import Schedule
from nlpkit.bert.tokenizer import Tokenizer
from nlpkit.bert.training import Trainer, TrainingSettings
from nlpkit.mlm.masking import MaskedBatch, mask_batch
from nlpkit.mlm.task import MaskedLMTask

CONFIG = ModelConfig("bert", 8000, 312, 4, 12, 1248, 312)
ROWS, LENGTH, RATE = 32, 64, 1e-4
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def make_batches(number: int) -> list[MaskedBatch]:
    """Batches of random tokens."""
    tokenizer = Tokenizer([*SPECIAL, *(f"t{n}" for n in range(CONFIG.vocab_size - 5))], lower_case=True)
    random = np.random.default_rng(0)
    starts = [np.ones(LENGTH - 2, bool)] * ROWS
    batches = []
    for _ in range(number):
        examples = list(random.integers(5, CONFIG.vocab_size, (ROWS, LENGTH - 2)).astype(np.int32))
        batches.append(mask_batch(examples, starts, random, mask_rate=0.15, tokenizer=tokenizer))
    return batches


class Endless:
    """The batches of a task: the given ones, round and round."""

    def __init__(self, batches: list[MaskedBatch]) -> None:
        """Take the batches."""
        self._batches = batches

    def batch(self, number: int) -> MaskedBatch:
        """Return batch `number`."""
        return self._batches[number % len(self._batches)]


def make_task(batches: list[MaskedBatch]) -> MaskedLMTask:
    """A task with a model of its own."""
    return MaskedLMTask(
        backend.build(CONFIG, mlm=True),
        Endless(batches),  # type: ignore[arg-type]
        teacher=None,
        dev=(),
        save=lambda *_: None,
        seed=0,
    )


def our_loop(batches: list[MaskedBatch], folder: Path, **options: Any) -> Callable[[], None]:
    """Train on all batches with our loop."""
    settings = TrainingSettings(OptimizerSettings(learning_rate=RATE), Schedule(), 10**9, **options)
    trainer = Trainer(make_task(batches), settings, RunFolder(folder))
    steps = itertools.count()

    def job() -> None:
        for _ in range(len(batches) // settings.accumulate):
            trainer._one_step(next(steps))

    return job


def keras_fit(batches: list[MaskedBatch], *wrappers: tuple[str, dict[str, Any]]) -> Callable[[], None]:
    """Train on all batches with `fit` and bert4keras' Adam, extended as bert4keras does it."""
    task = make_task(batches)
    optimizers = backend.bert4keras("optimizers")
    optimizer, arguments = optimizers.Adam, {"learning_rate": RATE}
    for name, more in wrappers:
        optimizer = getattr(optimizers, f"extend_with_{name}")(optimizer)
        arguments |= more

    class WithLoss(backend.keras().Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = task._transformer.full_model  # so that Keras finds the weights

        def call(self, inputs: Any, training: Any = None) -> Any:
            loss = task.loss(inputs)["loss"]
            self.add_loss(loss)
            return loss

    model = WithLoss()
    model.compile(optimizer=optimizer(**arguments))

    def endless() -> Iterator[tuple[dict[str, Any]]]:
        for number in itertools.count():
            yield (task.batch(number),)  # type: ignore[misc]

    data = endless()
    return lambda: model.fit(data, steps_per_epoch=len(batches), epochs=1, verbose=0)


def main() -> None:
    """Measure, and print the seconds for a batch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batches", type=int, default=12)
    options = parser.parse_args()
    backend.start("cpu")
    batches = make_batches(options.batches)
    accumulation, average = {"grad_accum_steps": 2}, {"ema_momentum": 0.999}
    with tempfile.TemporaryDirectory() as folder:
        ours = {"ema_rate": 0.999, "accumulate": 2}
        jobs: dict[str, Callable[[], object]] = {
            "fit, Adam": keras_fit(batches),
            "fit, Adam, accumulation and average of bert4keras": keras_fit(
                batches,
                ("gradient_accumulation", accumulation),
                ("exponential_moving_average", average),
            ),
            "ours, 2 batches a step, average": our_loop(batches, Path(folder), clip_norm=0, **ours),
            "ours, 2 batches a step, average, clipped": our_loop(batches, Path(folder), clip_norm=1, **ours),
            "ours, 1 batch a step, average, clipped": our_loop(
                batches, Path(folder), clip_norm=1, ema_rate=0.999
            ),
        }
        for job in jobs.values():
            job()
        times = seconds_in_turn(jobs, options.repeats)
    rows: list[dict[str, object]] = []
    for name, seconds in times.items():
        figures = summary([second / len(batches) for second in seconds])
        # Turn by turn, since the machine's speed changes between them.
        ratios = [own / fit for own, fit in zip(seconds, times["fit, Adam"], strict=True)]
        rows.append({"what": name, **figures, "times fit": round(float(np.median(ratios)), 3)})
    report("training", rows)


if __name__ == "__main__":
    main()
