"""`nlpkit train`: models from text and labelled data."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from nlpkit.cli import messages
from nlpkit.cli import training as t
from nlpkit.cli.input import Encoding, Seed, TextKey, Threads, check_read_once, input_paths
from nlpkit.cli.model import BatchTokens, Device, Dtype, Offline, complete_model, find_folder
from nlpkit.cli.options import Quiet, Verbose

app = typer.Typer(no_args_is_help=True, help="Train models; needs TensorFlow and bert4keras.")

Start = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="Go on from this model instead of from scratch.", autocompletion=complete_model
    ),
]


@app.command()
def mlm(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Raw text, a paragraph a line; - is standard input."),
    ] = None,
    output: t.ModelOutput = Path("mlm"),
    repeat: Annotated[
        str | None,
        typer.Option(
            metavar="N,...",
            help="How often an epoch reads each FILE, in order: 2,1,.5.",
            show_default="each once",
        ),
    ] = None,
    dev: t.Dev = None,
    start: Start = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="A larger masked LM to learn from, too.", autocompletion=complete_model
        ),
    ] = None,
    lexicon: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Mask the words of this dictionary whole; discover --format jieba writes one.",
        ),
    ] = None,
    vocab_size: Annotated[
        int, typer.Option(min=300, help="Entries of the vocabulary made from the text.")
    ] = 8000,
    architecture: Annotated[
        Literal["bert", "albert", "nezha", "roformer"], typer.Option(help="Of a model from scratch.")
    ] = "roformer",
    layers: Annotated[int, typer.Option(min=1, help="Layers of a model from scratch.")] = 4,
    hidden_size: Annotated[int, typer.Option(min=1, help="Width of its layers.")] = 312,
    heads: Annotated[int, typer.Option(min=1, help="Its attention heads.")] = 6,
    embedding_size: Annotated[int, typer.Option(min=1, help="Width of its token embedding.")] = 128,
    hidden_act: Annotated[
        Literal["relu", "gelu"],
        typer.Option(help="Its activation; relu is faster on a CPU."),
    ] = "relu",
    max_length: Annotated[
        int, typer.Option(min=8, help="Tokens of an example; longer lines are divided.")
    ] = 128,
    mask_rate: Annotated[float, typer.Option(min=0.01, max=0.9, help="Share of the tokens to mask.")] = 0.15,
    batch_tokens: BatchTokens = 4096,
    steps: t.Steps = None,
    accumulate: t.Accumulate = 1,
    optimizer: t.OptimizerName = "adam",
    learning_rate: t.LearningRate = 1e-3,
    lr_schedule: t.LrSchedule = None,
    warmup: t.Warmup = 0.05,
    weight_decay: t.WeightDecay = 0.01,
    layer_adaptation: t.LayerAdaptation = False,
    lookahead: t.Lookahead = False,
    lazy: t.Lazy = False,
    clip_norm: t.ClipNorm = 1.0,
    ema: t.Ema = 0.0,
    evaluate_every: t.EvaluateEvery = 1000,
    patience: t.Patience = 0,
    resume: t.Resume = False,
    force: t.Force = False,
    dry_run: t.DryRun = False,
    device: Device = "auto",
    dtype: Dtype = "float32",
    threads: Threads = None,
    offline: Offline = False,
    encoding: Encoding = "utf-8",
    text_key: TextKey = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Train a masked language model on raw text, from scratch or from another model.

    With --teacher the model also learns what a larger one thinks of every masked position, and to
    see the text as it does.

    \b
    Example:
      nlpkit train mlm data/ev.txt data/ai.txt --steps 100 -o my-mlm
    """
    from nlpkit.bert.optimizers import OptimizerSettings
    from nlpkit.bert.schedules import Schedule
    from nlpkit.mlm.settings import MlmSettings
    from nlpkit.mlm.train import plan_mlm, train_mlm

    paths = input_paths(files or [])
    check_read_once(paths, [dev] if dev else [])
    with t.usage_error("--lr-schedule"):
        Schedule.parse(lr_schedule or "0:1")
    with t.usage_error():
        update = OptimizerSettings(
            name=optimizer,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            layer_adaptation=layer_adaptation,
            lookahead=lookahead,
            lazy=lazy,
        )
    settings = MlmSettings(
        files=paths,
        output=output,
        repeats=_repeats(repeat, len(paths)),
        dev=dev,
        start=find_folder(start, offline=offline) if start else None,
        teacher=find_folder(teacher, offline=offline) if teacher else None,
        lexicon=lexicon,
        vocab_size=vocab_size,
        shape={
            "architecture": architecture,
            "num_hidden_layers": layers,
            "hidden_size": hidden_size,
            "num_attention_heads": heads,
            "intermediate_size": 4 * hidden_size,
            "embedding_size": embedding_size,
            "hidden_act": hidden_act,
        },
        encoding=encoding,
        text_key=text_key,
        max_tokens=max_length - 2,
        mask_rate=mask_rate,
        batch_tokens=batch_tokens,
        steps=steps or 0,
        accumulate=accumulate,
        optimizer=update,
        warmup=warmup,
        schedule=lr_schedule or "",
        clip_norm=clip_norm,
        ema_rate=ema,
        evaluate_every=evaluate_every,
        patience=patience,
        seed=seed,
        device=device,
        dtype=dtype,
        threads=threads,
    )
    if dry_run:
        typer.echo(json.dumps(plan_mlm(settings), ensure_ascii=False, indent=2))
        return
    with t.training_bar() as (progress, report):
        end = train_mlm(
            settings, resume=resume, force=force, progress=progress, report=report, warn=messages.warn
        )
    messages.info(f"{output}: the model of step {end.best_step:,}", level=0)


def _repeats(text: str | None, num_files: int) -> list[float]:
    """Read --repeat: one number for each file."""
    if text is None:
        return [1.0] * num_files
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of numbers", param_hint="--repeat") from None
    if len(numbers) != num_files or not all(0 <= number < 1000 for number in numbers) or not any(numbers):
        raise typer.BadParameter(
            f"{text!r}: one number of 0 or more for each of the files, here {num_files}",
            param_hint="--repeat",
        )
    return numbers
