"""Where exceptions become exit codes: the root group's class, and the call that runs an app."""

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from types import FrameType
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from nlpkit.cli import config, messages
from nlpkit.cli.output import is_disk_full
from nlpkit.errors import NlpkitError, OutputError

CLOSED_PIPE = 141  # 128 + SIGPIPE, what a shell reports of a C filter
INTERRUPTED = 130  # 128 + SIGINT
BUG = 1


class Root(TyperGroup):
    """The root group: reports errors in one line, and lists its commands by panel."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Read the root's own options; `--help` and `--version` end here."""
        messages.set_verbosity(0)
        for command in config.walk(self):
            for parameter in command.params:
                parameter.show_envvar = False  # the root's help gives the rule instead
        with _boundary():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> None:
        """Run the chosen command."""
        with _boundary(debug=ctx.params.get("debug", False)):
            super().invoke(ctx)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section of the help per panel, both in the order of registration."""
        panels: dict[str, list[tuple[str, str]]] = {}
        room = formatter.width - 6 - max(map(len, self.commands), default=0)
        commands: dict[str, Any] = dict(self.commands)
        for name, command in commands.items():
            row = (name, command.get_short_help_str(room))
            panels.setdefault(str(command.rich_help_panel or "Commands"), []).append(row)
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)


def run(app: typer.Typer) -> None:
    """Run an app whose root is `Root` on the process's arguments, and leave the process."""
    for name in ("SIGTERM", "SIGHUP"):  # by default they end the process before it can tidy up
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _leave)
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, TextIOWrapper) and not stream.isatty():
            stream.reconfigure(encoding="utf-8")  # whatever the locale is
    if isinstance(sys.stdout, TextIOWrapper):
        # Lone surrogates, and what a terminal cannot show, come out as \uXXXX.
        sys.stdout.reconfigure(errors="backslashreplace")
    app(prog_name="nlpkit")


@contextmanager
def _boundary(*, debug: bool = False) -> Iterator[None]:
    """Report what ends the run and turn it into `typer.Exit` with its code.

    Standard output is flushed here: what failed later, at the interpreter's exit, would be reported
    as an "ignored exception" with exit code 120.
    """
    try:
        try:
            yield
        except typer.Exit:
            _flush_stdout()
            raise
        _flush_stdout()
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        _drop_stdout()  # a reader that has stopped reading must not hold us up
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        _drop_stdout()
        raise typer.Exit(CLOSED_PIPE) from None
    except NlpkitError as error:
        raise typer.Exit(_report(error, debug)) from None
    except typer.TyperException as error:
        raise typer.Exit(_report_usage(error, debug)) from None
    except OSError as error:
        if not is_disk_full(error):
            raise typer.Exit(_report_bug(error)) from None
        _drop_stdout()
        place = error.filename or "standard output"
        raise typer.Exit(_report(OutputError(f"{place}: {error.strerror}"), debug)) from None
    except Exception as error:
        raise typer.Exit(_report_bug(error)) from None


def _flush_stdout() -> None:
    if sys.stdout is not None:  # None: it was closed before we started
        sys.stdout.flush()


def _report(error: NlpkitError, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    messages.error(str(error), error.hint)
    return error.exit_code


def _report_usage(error: Any, debug: bool) -> int:
    """Say in one line what is wrong with the command line, and where its help is."""
    in_settings = config.blame(error)
    if in_settings is not None:
        return _report(in_settings, debug)
    if type(error).__name__ == "NoArgsIsHelpError":  # the name is private to Typer
        print(error.message, file=sys.stderr)
        return int(error.exit_code)
    text = error.format_message()
    if getattr(error, "possibilities", None):
        text = f"{error.message}. Did you mean {', '.join(map(repr, error.possibilities))}?"
    ctx = getattr(error, "ctx", None)
    messages.error(text, f"see {ctx.command_path} --help" if ctx else "")
    return int(error.exit_code)


def _report_bug(error: Exception) -> int:
    traceback.print_exception(error)
    messages.error(
        f"this is a bug in nlpkit {_version()}",
        "please report the lines above, and the command, to the project's issue tracker",
    )
    return BUG


def _version() -> str:
    from nlpkit import __version__

    return __version__


def _drop_stdout() -> None:
    """Send what is still buffered to the null device, so that the flush at exit cannot fail."""
    with suppress(OSError, ValueError):  # a test's stdout has no file descriptor
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
