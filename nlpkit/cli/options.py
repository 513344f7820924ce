"""The options that mean the same for every command."""

from pathlib import Path
from typing import Annotated

import typer

from nlpkit.cli import messages


def _set_quiet(wanted: bool) -> bool:
    if wanted:
        messages.set_verbosity(-1)
    return wanted


def _set_verbose(times: int) -> int:
    if times:
        messages.set_verbosity(times)
    return times


# The two callbacks do the work, so that a command only has to list the options.
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", callback=_set_quiet, help="Say nothing but errors."),
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        callback=_set_verbose,
        show_default=False,
        help="Say more; -vv says still more.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        show_default="standard output",
        help="Write to this file, which appears only when it is complete.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the output file.")]
