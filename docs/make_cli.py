"""Write docs/cli.md from the real help; with --check only tell whether it is up to date."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

PAGE = Path(__file__).with_name("cli.md")
WIDTH = 100
HEAD = """\
# The command line

The help of every command, as `nlpkit COMMAND --help` prints it. `just docs` writes this page.
"""


def page(app: typer.Typer) -> str:
    """Return the whole page for an app."""
    root = get_command(app)
    width = {"terminal_width": WIDTH, "max_content_width": WIDTH}
    ctx = root.make_context("nlpkit", [], resilient_parsing=True, **width)
    sections = [f"\n## {path}\n\n```text\n{text}\n```\n" for path, text in _helps(root, ctx)]
    return HEAD + "".join(sections)


def _helps(command: Any, ctx: Any) -> Iterator[tuple[str, str]]:
    """Yield the path and the help of a command and of every command below it."""
    lines = (line.rstrip() for line in ctx.get_help().splitlines())
    yield ctx.command_path, "\n".join(lines).strip()
    for name, child in getattr(command, "commands", {}).items():
        below = child.make_context(name, [], parent=ctx, resilient_parsing=True)
        yield from _helps(child, below)


def main() -> None:
    """Write the page, or compare it."""
    from nlpkit.cli.app import app

    text = page(app)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != text:
        sys.exit("docs/cli.md is not what the help says: run `just docs`")


if __name__ == "__main__":
    main()
