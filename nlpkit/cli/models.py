"""`nlpkit models`: the models there are, and making one from a checkpoint."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nlpkit import __version__
from nlpkit.cli import messages
from nlpkit.cli.model import ModelArgument, Offline, find_folder
from nlpkit.cli.options import Force, Output, Quiet, Verbose
from nlpkit.cli.output import Format, default_format, open_output, refuse_existing, write_records
from nlpkit.errors import ModelError

if TYPE_CHECKING:
    from nlpkit.bert.checkpoint import Checkpoint
    from nlpkit.models import Manifest

app = typer.Typer(no_args_is_help=True, help="List, show, import and export models.")

TableFormat = Annotated[
    Literal["table", "jsonl", "tsv"] | None,
    typer.Option("--format", "-f", help="Output format.", show_default="table at a terminal, else jsonl"),
]


@app.command("list")
def list_command(
    format: TableFormat = None,
    output: Output = None,
    force: Force = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """List every model that can be named.

    They lie in ./models, in your data folder and in nlpkit itself; of one name, the first found is
    listed. A model with something wrong is listed with its error.

    \b
    Example:
      nlpkit models list
    """
    from nlpkit.models import list_models, model_folders

    found = list_models()
    with open_output(output, force=force) as out:
        write_records(found, out, Format(format) if format else default_format(output))
    if not found:
        messages.warn(f"no model in {', '.join(map(str, model_folders()))}")


@app.command()
def show(
    model: ModelArgument,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare every file with its SHA-256, and not only its size.")
    ] = False,
    offline: Offline = False,
    format: TableFormat = None,
    output: Output = None,
    force: Force = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Show what a model is: its task, sizes, settings and files.

    Also reads the checkpoints of other programs, as far as they say.

    \b
    Example:
      nlpkit models show mlm-zh-tiny --verify
    """
    from nlpkit.models import MANIFEST, WEIGHTS, read_manifest, weight_shapes
    from nlpkit.models import verify as verify_files

    folder = find_folder(model, offline=offline)
    if (folder / MANIFEST).is_file():
        manifest = read_manifest(folder)
        verify_files(folder, manifest, hashes=verify)
        shapes = list(weight_shapes(folder / WEIGHTS).values())
    else:
        from nlpkit.bert.checkpoint import open_checkpoint

        checkpoint = open_checkpoint(folder)
        manifest = _manifest(checkpoint, folder.name)
        shapes = [weights.shape for weights in checkpoint.weights.values()]
    record = {"folder": str(folder), "num_parameters": sum(map(prod, shapes)), **manifest.to_json()}
    with open_output(output, force=force) as out:
        chosen = Format(format) if format else default_format(output)
        rows = [record] if chosen is Format.JSONL else _rows(record)
        write_records(rows, out, chosen)


@app.command()
def path(
    model: ModelArgument,
    offline: Offline = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Print the folder of a model; one of the Hugging Face Hub is fetched first.

    \b
    Example:
      ls "$(nlpkit models path mlm-zh-tiny)"
    """
    typer.echo(find_folder(model, offline=offline))


@app.command("import")
def import_command(
    model: ModelArgument,
    name: Annotated[str, typer.Option(metavar="NAME", help="What to call it.")],
    to: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where its folder goes.", show_default="your data folder"),
    ] = None,
    task: Annotated[
        Literal["mlm", "encoder", "lm"] | None,
        typer.Option(help="What it is for.", show_default="what its weights can do"),
    ] = None,
    unshare: Annotated[
        bool, typer.Option("--unshare", help="Give each layer of an ALBERT weights of its own.")
    ] = False,
    dtype: Annotated[
        Literal["float32", "float16"],
        typer.Option(help="What the weights are stored as; float16 is half the size."),
    ] = "float32",
    offline: Offline = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the model of that name.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Make a model directory from a TensorFlow or Hugging Face checkpoint.

    Prints the folder that it made.

    \b
    Example:
      nlpkit models import chinese_L-12_H-768_A-12 --name bert-base
    """
    from nlpkit.bert.checkpoint import open_checkpoint
    from nlpkit.models import find_model, is_plain_name, save_model, user_folder

    if not is_plain_name(name):
        raise typer.BadParameter(
            f"{name!r} is no name: letters, digits, dots and dashes", param_hint="--name"
        )
    target = (to or user_folder()) / name
    refuse_existing(target, force=force)
    checkpoint = open_checkpoint(find_folder(model, offline=offline))
    if task == "mlm" and not checkpoint.has_mlm_head:
        raise ModelError(f"{model}: it has no masked-LM head", hint="--task encoder needs none")
    # Of a path only the end: the rest says something of this machine, not of the model.
    origin = model if model.startswith("hf:") else checkpoint.source.resolve().name
    manifest = _manifest(checkpoint, name, task)
    if unshare:
        checkpoint = checkpoint.unshared()
    manifest = replace(
        manifest,
        architecture=checkpoint.config.architecture,
        config=checkpoint.config.to_json(),
        training={"imported_from": origin, **manifest.training, **({"unshared": True} if unshare else {})},
    )
    card = _card(manifest, checkpoint.source, f"Imported by nlpkit {__version__} from `{origin}` as {dtype}")
    save_model(target, manifest, checkpoint.vocabulary, checkpoint.weights, card, dtype=dtype, force=force)
    typer.echo(target)
    if checkpoint.unused:
        messages.info(f"left out: {', '.join(checkpoint.unused)}")
    if to is None and (first := find_model(name)) != target:
        messages.warn(f"{first} is found first by the name {name}")


@app.command()
def export(
    model: ModelArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Write to this file.")],
    format: Annotated[Literal["onnx"], typer.Option("--format", "-f", help="Output format.")] = "onnx",
    quantize: Annotated[
        Literal["int8"] | None,
        typer.Option(help="Store the large matrices as bytes: a quarter of the size, less exact."),
    ] = None,
    offline: Offline = False,
    force: Force = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Write a model in a form that other programs run.

    As model.onnx in the model's own directory it is also what nlpkit runs from there on.

    \b
    Example:
      nlpkit models export mlm-zh-tiny -o mlm.onnx
    """
    from nlpkit.bert.checkpoint import open_checkpoint
    from nlpkit.bert.export import export_onnx

    refuse_existing(output, force=force)
    export_onnx(open_checkpoint(find_folder(model, offline=offline)), output, quantize=quantize)


def _rows(record: Mapping[str, Any], prefix: str = "") -> Iterator[dict[str, str]]:
    """Yield the fields one under another, those inside others with a dotted name."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _rows(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield {"field": prefix + name, "value": text}


def _manifest(checkpoint: "Checkpoint", name: str, task: str | None = None) -> "Manifest":
    """What nlpkit.json is to say of a checkpoint: the fields of its own if it has one, under a new name."""
    from nlpkit.bert.encoder import GRAPH
    from nlpkit.models import Manifest

    own = checkpoint.manifest
    if own is not None:
        training = {key: value for key, value in own.training.items() if key != GRAPH}  # it is not copied
        return replace(own, name=name, task=task or own.task, training=training)
    if task is None:
        task = "lm" if checkpoint.config.is_causal else "mlm" if checkpoint.has_mlm_head else "encoder"
    return Manifest(
        name=name,
        task=task,
        architecture=checkpoint.config.architecture,
        config=checkpoint.config.to_json(),
        tokenizer={"lower_case": checkpoint.lower_case},
    )


def _card(manifest: "Manifest", source: Path, origin: str) -> str:
    """The text of README.md: that of a model directory with a line more, or what there is to say."""
    from nlpkit.models import CARD, MANIFEST

    unshared = (
        ", each layer with its own copy of the shared weights" if "unshared" in manifest.training else ""
    )
    origin = f"{origin}{unshared}.\n"
    if (source / MANIFEST).is_file() and (source / CARD).is_file():
        return f"{(source / CARD).read_text('utf-8', 'replace').rstrip()}\n\n{origin}"
    config = manifest.config
    return f"""\
# {manifest.name}

Task {manifest.task}, architecture {manifest.architecture}: {config["num_hidden_layers"]} layers of size \
{config["hidden_size"]}, {config["vocab_size"]:,} tokens.

{origin}
Its licence is that of its source, which nlpkit does not know: write it here before you pass the model on.
"""
