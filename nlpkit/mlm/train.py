"""`nlpkit train mlm`: a masked language model from raw text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlpkit.bert import backend
from nlpkit.bert.backend import FloatArray
from nlpkit.bert.checkpoint import Checkpoint, open_checkpoint
from nlpkit.bert.config import ModelConfig
from nlpkit.bert.names import expected_weights
from nlpkit.bert.run_state import RunFolder
from nlpkit.bert.tokenizer import Tokenizer
from nlpkit.bert.training import Report, Standing, Trainer
from nlpkit.errors import ModelError, OutputError
from nlpkit.mlm.batches import MaskedBatches
from nlpkit.mlm.corpus import Corpus, Progress, Warn, check_readable
from nlpkit.mlm.masking import LENGTH_MULTIPLE, row_length
from nlpkit.mlm.settings import MlmSettings
from nlpkit.mlm.task import MaskedLMTask, Teacher
from nlpkit.models import MANIFEST, Manifest, is_plain_name, save_model


def train_mlm(
    settings: MlmSettings,
    *,
    resume: bool = False,
    force: bool = False,
    progress: Progress,
    report: Report,
    warn: Warn,
) -> Standing:
    """Train a masked language model and write it to `settings.output`.

    Whatever can be refused is refused before anything is written.

    Args:
        settings: all of them; with `resume` the same as before.
        resume: go on where a run of these settings stopped.
        force: replace a run or a model that is there.
        progress: told about the preparation of the text.
        report: told about every step and every evaluation.
        warn: told what is odd about the text.

    Raises:
        InputError: a text cannot be read or holds nothing to learn from.
        ModelError: `start` or `teacher` is no masked LM, sizes do not fit, or training broke down.
        OutputError: the output is there already, or cannot be written.
        MissingDependencyError: TensorFlow or bert4keras is absent.
    """
    run = RunFolder(_run_folder(settings.output, resume=resume, force=force))
    run.check(settings.to_json(), resume=resume, force=force)
    if not resume:
        check_readable([*settings.files, settings.dev, settings.lexicon])
    start = _masked_lm(settings.start) if settings.start else None
    teacher = _masked_lm(settings.teacher) if settings.teacher else None
    _check_lengths(settings, _config(settings, start), teacher)
    backend.start(settings.device, settings.dtype, threads=settings.threads, deterministic=True)
    with run.opened(settings.to_json(), resume=resume):
        corpus = Corpus(settings, run.path, progress, warn)
        task, batches_per_epoch = _task(settings, corpus, start, teacher)
        steps = settings.steps or -(-batches_per_epoch // settings.accumulate)
        return Trainer(task, settings.training(steps), run).run(report, resume=resume)


def plan_mlm(settings: MlmSettings) -> dict[str, Any]:
    """Return the settings and the sizes of a run, as `--dry-run` shows them; nothing is written.

    Returns:
        `settings`; `parameters`, a count; `weights_bytes` of the saved model; `state_bytes` of
        weights, gradients, optimizer and average in memory.

    Raises:
        InputError: a text cannot be read.
        ModelError: `start` or `teacher` is no masked LM, or the sizes do not fit each other.
    """
    check_readable([*settings.files, settings.dev, settings.lexicon])
    start = _masked_lm(settings.start) if settings.start else None
    teacher = _masked_lm(settings.teacher) if settings.teacher else None
    config = _config(settings, start)
    _check_lengths(settings, config, teacher)
    shapes = list(expected_weights(config, mlm=True).values())
    parameters = sum(math.prod(shape) for shape in shapes)
    copies = 2 + (settings.ema_rate > 0) + (settings.accumulate > 1)
    return {
        "settings": settings.to_json(),
        "parameters": parameters,
        "weights_bytes": 2 * parameters,
        "state_bytes": 4 * parameters * copies + settings.optimizer.num_bytes(shapes),
    }


def _run_folder(output: Path, *, resume: bool, force: bool) -> Path:
    """Make sure that the model can be written in the end; return where the run itself goes."""
    if not is_plain_name(output.name):
        raise OutputError(f"{output}: {output.name!r} cannot be the name of a model", hint="-o my-mlm")
    if output.exists():
        if not (resume or force):
            raise OutputError(f"{output}: the folder exists", hint="--force replaces it")
        if not output.is_dir() or (any(output.iterdir()) and not (output / MANIFEST).is_file()):
            raise OutputError(f"{output}: this is no model directory, so it is not replaced")
    return output.with_name(f"{output.name}.training")


def _masked_lm(path: Path) -> Checkpoint:
    model = open_checkpoint(path)
    if not model.has_mlm_head:
        raise ModelError(f"{path} is no masked language model: it has no MLM head")
    return model


def _config(settings: MlmSettings, start: Checkpoint | None, vocab_size: int | None = None) -> ModelConfig:
    """Return the sizes of the model; those of one from scratch with so many tokens, or the most allowed."""
    if start is not None:
        return start.config
    sizes = {**settings.shape, "vocab_size": vocab_size or settings.vocab_size}
    return ModelConfig.from_json(sizes["architecture"], sizes)


def _check_lengths(settings: MlmSettings, config: ModelConfig, teacher: Checkpoint | None) -> None:
    length = row_length(settings.max_tokens)
    limits = {"model": config.max_length, "teacher": teacher.config.max_length if teacher else None}
    for name, limit in limits.items():
        if limit is not None and length > limit:
            raise ModelError(
                f"rows have up to {length} tokens, but the {name} can take {limit}",
                hint=f"--max-length {limit // LENGTH_MULTIPLE * LENGTH_MULTIPLE}",
            )


def _task(
    settings: MlmSettings, corpus: Corpus, start: Checkpoint | None, teacher: Checkpoint | None
) -> tuple[MaskedLMTask, int]:
    """Make what the training room needs; also return the batches of an epoch."""
    vocabulary = start.vocabulary if start else corpus.vocabulary()
    lower_case = start.lower_case if start else True
    config = _config(settings, start, len(vocabulary))
    tokenizer = Tokenizer(vocabulary, lower_case=lower_case)
    batches = MaskedBatches(
        corpus.files(tokenizer),
        settings.repeats or [1.0] * len(settings.files),
        tokenizer,
        batch_tokens=settings.batch_tokens,
        mask_rate=settings.mask_rate,
        seed=settings.seed,
    )

    def save(weights: Mapping[str, FloatArray], metrics: Mapping[str, float]) -> None:
        _save(settings, _Kind(config, vocabulary, lower_case), weights, metrics)

    task = MaskedLMTask(
        backend.build(config, start.weights if start else None, mlm=True, seed=settings.seed),
        batches,
        teacher=_build_teacher(teacher, tokenizer) if teacher else None,
        dev=corpus.dev_batches(tokenizer),
        save=save,
        seed=settings.seed,
    )
    return task, batches.per_epoch


def _build_teacher(model: Checkpoint, student: Tokenizer) -> Teacher:
    own = Tokenizer(model.vocabulary, lower_case=model.lower_case)
    return Teacher(backend.build(model.config, model.weights, mlm=True), own, student)


@dataclass(frozen=True)
class _Kind:
    """What a model is, beside its weights."""

    config: ModelConfig
    vocabulary: list[str]
    lower_case: bool


def _save(
    settings: MlmSettings, kind: _Kind, weights: Mapping[str, FloatArray], metrics: Mapping[str, float]
) -> None:
    manifest = Manifest(
        name=settings.output.name,
        task="mlm",
        architecture=kind.config.architecture,
        config=kind.config.to_json(),
        tokenizer={"lower_case": kind.lower_case},
        training=settings.to_json(),
        metrics=dict(metrics),
    )
    card = _card(manifest)
    save_model(settings.output, manifest, kind.vocabulary, weights, card, dtype="float16", force=True)


def _card(manifest: Manifest) -> str:
    """Write a card that says how the model was made."""
    settings = manifest.training
    rows = [f"- {name}: {value}" for name, value in settings.items() if value not in (None, "", [], {})]
    figures = dict(manifest.metrics)
    step = figures.pop("step")
    return "\n".join(
        [
            f"# {manifest.name}",
            "",
            f"A masked language model ({manifest.architecture}), trained by `nlpkit train mlm`.",
            "",
            "## Settings",
            "",
            *rows,
            "",
            f"## Figures on the development text, after {step:,} steps",
            "",
            *(
                [f"- {name}: {value:.4g}" for name, value in figures.items()]
                or ["- none: there was no `--dev`"]
            ),
            "",
        ]
    )
