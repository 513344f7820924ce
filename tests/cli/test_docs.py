from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from nlpkit.cli.app import app

DOCS = Path(__file__).parents[2] / "docs"


def test_cli_page_is_what_the_help_says():
    spec = spec_from_file_location("make_cli", DOCS / "make_cli.py")
    make_cli = module_from_spec(spec)
    spec.loader.exec_module(make_cli)
    assert (DOCS / "cli.md").read_text("utf-8") == make_cli.page(app), "run `just docs`"
