"""The root command: its options, and the list of commands."""

from typing import Annotated

import typer

from nlpkit import __version__
from nlpkit.cli import config
from nlpkit.cli.boundary import Root
from nlpkit.cli.discover import discover
from nlpkit.cli.doctor import doctor
from nlpkit.cli.evaluate import app as evaluate
from nlpkit.cli.help_exit_codes import help_exit_codes
from nlpkit.cli.models import app as models
from nlpkit.cli.options import Quiet, Verbose
from nlpkit.cli.segment import segment
from nlpkit.cli.train import app as train

NO_MODEL = "Needs no model"
MODEL = "Needs a model"
MANAGE = "Manage"

app = typer.Typer(
    cls=Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: the same at a terminal, in docs/cli.md and in tests
    context_settings=config.CONTEXT_SETTINGS,
)
app.command("discover", rich_help_panel=NO_MODEL)(discover)
app.command("segment", rich_help_panel=NO_MODEL)(segment)
app.add_typer(train, name="train", rich_help_panel=MANAGE)
app.add_typer(evaluate, name="evaluate", rich_help_panel=MANAGE)
app.add_typer(models, name="models", rich_help_panel=MANAGE)
app.command("doctor", rich_help_panel=MANAGE)(doctor)
app.command("help-exit-codes", rich_help_panel=MANAGE)(help_exit_codes)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nlpkit {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback for every error.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Chinese text on the command line.

    Results go to standard output, everything else to standard error. Every option can also be set
    in ./nlpkit.toml or by an environment variable: `nlpkit discover --min-count 5` is
    `min_count = 5` under `[discover]`, and `NLPKIT_DISCOVER_MIN_COUNT=5`.
    """
    config.apply(ctx)
