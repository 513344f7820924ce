"""How a model is chosen and run, for the commands that use one."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from nlpkit.cli import messages


def find_folder(model: str, *, offline: bool = False) -> Path:
    """Return the folder of a model, as `nlpkit.models.find_model` does.

    Fetching from the Hub shows its progress as everything else does: at a terminal only, not under `-q`.
    """
    from nlpkit.models import find_model

    if messages.verbosity < 0 or not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    return find_model(model, offline=offline)


def complete_model() -> list[str]:
    """What the shell may complete; Typer leaves out those that begin otherwise."""
    from nlpkit.models import model_names

    return model_names()


# A settings file may give a number where the command line gives a word: hence str().
def _device(name: object) -> str:
    if not re.fullmatch(r"auto|cpu|gpu(:\d+)?", str(name)):
        raise typer.BadParameter(f"{name} is no device: auto, cpu, gpu or gpu:N, N from 0")
    return "gpu:0" if name == "gpu" else str(name)


ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A name, a folder, or hf:ORG/NAME of the Hugging Face Hub.",
        autocompletion=complete_model,
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Fetch nothing: hf: models come from the cache or not at all.")
]
Runtime = Annotated[
    Literal["auto", "onnx", "tensorflow"],
    typer.Option(help="What runs the model: ONNX Runtime or TensorFlow; auto is what has the --dtype."),
]
Device = Annotated[
    str,
    typer.Option(
        parser=_device, metavar="DEVICE", help="auto, cpu or gpu:N; auto is a GPU where there is one."
    ),
]
Dtype = Annotated[
    Literal["float32", "bfloat16", "float16"],
    typer.Option(help="Numbers that the model computes with; 16 bits need TensorFlow."),
]
RunDtype = Annotated[  # for commands that train nothing
    Literal["float32", "bfloat16", "float16", "int8"],
    typer.Option(
        help="Numbers that the model computes with; 16 bits need TensorFlow, int8 needs ONNX Runtime."
    ),
]
BatchTokens = Annotated[
    int, typer.Option(min=1, metavar="TOKENS", help="Most tokens of a batch, padding included.")
]
