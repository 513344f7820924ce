"""Every error that nlpkit raises on purpose, and the exit code that each becomes.

NlpkitError                1  base, never raised itself
├── InputError             3  text, a record or a settings file is missing, unreadable or malformed
├── ModelError             4  a model, vocabulary or data set is absent, damaged or of another task
├── MissingDependencyError 5  a package, a version or a device is absent
└── OutputError            6  the result cannot be written
"""


class NlpkitError(Exception):
    """Base class: whoever calls nlpkit from Python catches this to catch them all.

    Args:
        message: One line with the place and the cause, for example `news.txt:12: not UTF-8`.
        hint: One line on what to do about it, or the command that does it; may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep the message for `str(error)` and the hint beside it."""
        super().__init__(message)
        self.hint = hint


class InputError(NlpkitError):
    """Met by whoever passes a file: it is missing, unreadable, or a line of it is malformed."""

    exit_code = 3


class ModelError(NlpkitError):
    """Met by whoever names a model or data set that is absent, damaged or made for another task."""

    exit_code = 4


class MissingDependencyError(NlpkitError):
    """Met on a machine that lacks a package, a version or a device; the hint installs it."""

    exit_code = 5


class OutputError(NlpkitError):
    """Met when a result has nowhere to go: full disk, locked folder, a file that already exists."""

    exit_code = 6
