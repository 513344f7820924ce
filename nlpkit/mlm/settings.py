"""What a masked language model is trained on, what it is, and how long it takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlpkit.bert.optimizers import OptimizerSettings
from nlpkit.bert.schedules import Schedule, linear
from nlpkit.bert.training import TrainingSettings


@dataclass(frozen=True)
class MlmSettings:
    """Everything that decides a run.

    Attributes:
        files: raw text, a paragraph a line.
        repeats: how often an epoch reads each file.
        output: the model directory to write; the run itself lives beside it, in OUTPUT.training.
        dev: text to measure on; None measures nothing and keeps the last weights.
        start: a model to go on from; None trains from scratch.
        vocab_size: entries of the vocabulary that a model from scratch makes from the files.
        shape: the sizes of a model from scratch, without its vocabulary.
        teacher: a masked LM to learn from.
        lexicon: words (as `discover` writes them) that are masked whole.
        max_tokens: the most tokens of an example, [CLS] and [SEP] not counted.
        mask_rate: share of the tokens that is masked.
        steps: updates; 0 is one epoch.
        warmup: share of the steps in which the learning rate rises; it falls to 0 after the last.
        schedule: other than that: "1000:1,5000:.1".
    """

    files: Sequence[Path]
    output: Path
    repeats: Sequence[float] = ()
    dev: Path | None = None
    start: Path | None = None
    vocab_size: int = 8000
    shape: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    teacher: Path | None = None
    lexicon: Path | None = None
    encoding: str = "utf-8"
    text_key: str | None = None
    max_tokens: int = 126
    mask_rate: float = 0.15
    batch_tokens: int = 4096
    steps: int = 0
    accumulate: int = 1
    optimizer: OptimizerSettings = dataclasses.field(default_factory=OptimizerSettings)
    warmup: float = 0.05
    schedule: str = ""
    clip_norm: float = 1.0
    ema_rate: float = 0.0
    evaluate_every: int = 1000
    patience: int = 0
    seed: int = 0
    device: str = "auto"
    dtype: str = "float32"
    threads: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the settings as a run and a model directory keep them: those that take part."""
        unused = {"vocab_size", "shape"} if self.start else set()
        fields = dataclasses.asdict(self).items()
        return {name: _plain(value) for name, value in fields if name not in unused}

    def training(self, steps: int) -> TrainingSettings:
        """Return the training room's part of the settings, for a run of so many steps."""
        falling = linear(steps + 1, min(round(self.warmup * steps), steps))
        return TrainingSettings(
            optimizer=self.optimizer,
            schedule=Schedule.parse(self.schedule) if self.schedule else falling,
            steps=steps,
            accumulate=self.accumulate,
            clip_norm=self.clip_norm,
            ema_rate=self.ema_rate,
            evaluate_every=self.evaluate_every,
            metric="top1",
            patience=self.patience,
            seed=self.seed,
        )


def _plain(value: Any) -> Any:
    """Turn paths into text, with no folder that only this machine has."""
    if isinstance(value, Path):
        return value.name
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
