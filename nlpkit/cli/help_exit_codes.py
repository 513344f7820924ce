"""`nlpkit help-exit-codes`: what a script can tell from how a run ended."""

import typer

from nlpkit import errors

_CODES = {
    0: "done; also when nothing was found or the input was empty",
    1: "a bug in nlpkit: the traceback says where",
    2: "a wrong command line: unknown command or option, or a value out of range",
    errors.InputError.exit_code: "input missing, unreadable or malformed: the message says where",
    errors.ModelError.exit_code: "a model or data set absent, damaged or made for another task",
    errors.MissingDependencyError.exit_code: "a package, version or device absent",
    errors.OutputError.exit_code: "output not written: full disk, locked folder, file exists",
    130: "interrupted by Ctrl-C",
    141: "the reader of a pipe went away, as with `| head`",
}


def help_exit_codes() -> None:
    """List the exit codes and what each one means.

    \b
    Example:
      nlpkit help-exit-codes
    """
    for code, meaning in _CODES.items():
        typer.echo(f"{code:>3}  {meaning}")
