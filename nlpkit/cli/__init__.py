"""The command line: the only layer that knows Typer, terminals and exit codes."""

import sys


def main() -> None:
    """Run the command line: the entry point of the `nlpkit` script."""
    try:  # Ctrl-C is to be quiet while the modules load, too
        from nlpkit.cli.app import app
        from nlpkit.cli.boundary import run

        run(app)
    except KeyboardInterrupt:
        sys.exit(130)
