"""A program on nlpkit's frame whose commands do what the tests need; run as a script."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from nlpkit.cli import config, messages
from nlpkit.cli.boundary import Root, run
from nlpkit.cli.options import Force, Output, Quiet, Verbose
from nlpkit.cli.output import Format, default_format, open_output, write_records
from nlpkit.cli.progress import progress_bar
from nlpkit.errors import InputError
from nlpkit.records import Word

app = typer.Typer(
    cls=Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=config.CONTEXT_SETTINGS,
)
sub = typer.Typer(no_args_is_help=True, help="A command with commands.")
app.add_typer(sub, name="inner", rich_help_panel="Needs a model")


@app.callback()
def root(
    ctx: typer.Context,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    debug: Annotated[bool, typer.Option("--debug")] = False,
) -> None:
    """A program for tests."""
    config.apply(ctx)


@app.command(rich_help_panel="Needs no model")
def words(
    count: Annotated[int, typer.Option(min=0)] = 3,
    format: Annotated[Format | None, typer.Option("--format", "-f")] = None,
    output: Output = None,
    force: Force = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Write words."""
    messages.warn("a warning")
    messages.info("a detail")
    messages.info("more detail", level=2)
    records = (Word("中文", i, 0.5, 1.0, 2.0, 3.0, True, i, ("一\t二",)) for i in range(count))
    with open_output(output, force=force) as out, progress_bar() as progress:
        progress("writing", 0, count)
        write_records(records, out, format or default_format(output))


@sub.command(rich_help_panel="Needs no model")
def deep(size: int = 1, ratio: float = 0.5, names: list[str] | None = None) -> None:
    """Tell the options."""
    print(size, ratio, names)


@app.command()
def fail(hint: str = "do this") -> None:
    """Raise what a user can mend."""
    raise InputError("corpus.txt:3: malformed", hint=hint)


@app.command()
def bug() -> None:
    """Raise what nobody foresaw."""
    raise KeyError("oops")


@app.command()
def wait(output: Output = None) -> None:
    """Wait for a signal in the middle of the output."""
    with open_output(output) as out:
        out.write("half")
        out.flush()
        Path("ready").touch()
        time.sleep(60)


@app.command()
def full() -> None:
    """Print without a flush."""
    print("text")


@app.command()
def surrogate() -> None:
    """Print what UTF-8 cannot hold."""
    sys.stdout.write("\ud800中\n")


if __name__ == "__main__":
    run(app)
