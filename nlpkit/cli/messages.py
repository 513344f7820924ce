"""What is said on standard error: warnings, details and errors, as loud as the user wants."""

import os
import sys
from typing import TextIO

verbosity = 0  # -1 quiet, 0 normal, 1 and 2 for -v and -vv; one value for the whole process


def set_verbosity(level: int) -> None:
    """Set how much is said: -1 errors only, 0 warnings too, 1 and 2 more detail."""
    global verbosity
    verbosity = level


def info(text: str, *, level: int = 1) -> None:
    """Say a detail that only `-v` (level 1) or `-vv` (level 2) asks for."""
    if verbosity >= level:
        _say(f"nlpkit: {text}")


def warn(text: str) -> None:
    """Say that something is odd though the run goes on; silent under `--quiet`."""
    if verbosity >= 0:
        _say(f"nlpkit: warning: {text}")


def error(text: str, hint: str = "") -> None:
    """Say why the run ends and, where known, what to do; never silent."""
    _say(f"nlpkit: error: {text}")
    if hint:
        _say(f"nlpkit: hint: {hint}")


def wants_colour(stream: TextIO) -> bool:
    """Tell whether `stream` gets escape codes: NO_COLOR, then FORCE_COLOR, then the terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _say(line: str) -> None:
    # A progress bar may stand on the terminal's last line: only tqdm can write above it.
    tqdm = sys.modules.get("tqdm")
    if tqdm is not None:
        tqdm.tqdm.write(line, file=sys.stderr)
    else:
        print(line, file=sys.stderr)
