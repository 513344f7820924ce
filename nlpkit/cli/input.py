"""What a command reads, and the options that mean the same in every command."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer


def input_paths(paths: list[Path]) -> list[Path]:
    """Return the files to read: those given, or "-" where something is piped in.

    Raises:
        typer.BadParameter: no file, and standard input is a terminal; a usage error, exit 2.
    """
    if paths:
        return paths
    if sys.stdin is not None and sys.stdin.isatty():
        raise typer.BadParameter(
            "nothing to read: name a file, or pipe text in, as in: cat news.txt | nlpkit ...",
            param_hint="FILE",
        )
    return [Path("-")]


def check_read_once(*groups: Sequence[Path]) -> None:
    """Refuse to read standard input twice: typer.BadParameter."""
    if sum(str(path) == "-" for group in groups for path in group) > 1:
        raise typer.BadParameter("standard input can be read only once", param_hint="-")


def check_written_once(inputs: Sequence[Path], *outputs: Path | None) -> None:
    """Refuse to write two things to one file, or over an input: typer.BadParameter."""
    given = [os.path.realpath(path) for path in outputs if path is not None and str(path) != "-"]
    if len(set(given)) < len(given):
        raise typer.BadParameter("two outputs cannot go to one file")
    if {os.path.realpath(path) for path in inputs} & {path for path in given if os.path.isfile(path)}:
        raise typer.BadParameter("an output cannot go to a file that is read")


# A settings file may give a number where the command line gives a word: hence str().
def _encoding(name: object) -> str:
    from nlpkit.sources import check_encoding

    try:
        return check_encoding(str(name))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _size(text: object) -> int:
    from nlpkit.memory import parse_size

    try:
        return parse_size(str(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Encoding = Annotated[
    str,
    typer.Option(
        parser=_encoding,
        metavar="NAME",
        help="Encoding of the input, such as gb18030, big5 or utf-16.",
    ),
]
TextKey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="Read JSON Lines and take the text under this key. Files that end in .jsonl or "
        '.ndjson are read so anyway, with the key "text".',
    ),
]
OnError = Annotated[
    Literal["skip", "fail"],
    typer.Option(help="Bad records and broken bytes: skip and count them, or fail at the first."),
]
Memory = Annotated[
    int | None,
    typer.Option(
        parser=_size,
        metavar="SIZE",
        help="Memory to use, such as 500M or 2G.",
        show_default="half of what is free",
    ),
]
Tmp = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        exists=True,
        file_okay=False,
        writable=True,
        help="Where data go that do not fit in memory.",
        show_default="the system's temporary folder",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Threads to use.", show_default="one for each core"),
]
Seed = Annotated[int, typer.Option(min=0, help="Start of the random numbers.")]
