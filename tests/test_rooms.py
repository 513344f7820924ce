"""A reader who knows a command's name finds its module, its page, its example and its tests."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from nlpkit.cli.app import app
from nlpkit.cli.config import walk

ROOT = Path(__file__).parents[1]
COMMANDS = get_command(app).commands
WORKERS = {name: c for name, c in COMMANDS.items() if name != "help-exit-codes"}
# What a machine has installed is nowhere the same.
NOWHERE_THE_SAME = {"doctor"}
LEAVES = [leaf for c in WORKERS.values() for leaf in walk(c) if not hasattr(leaf, "commands")]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_its_module(name):
    assert (ROOT / "nlpkit/cli" / f"{name.replace('-', '_')}.py").exists()


@pytest.mark.parametrize("name", WORKERS)
def test_a_command_has_its_page_and_golden_files(name):
    assert (ROOT / "docs" / f"{name}.md").exists()
    assert name in NOWHERE_THE_SAME or list((ROOT / "tests/cli/golden").glob(f"{name}*.txt"))


@pytest.mark.parametrize("command", LEAVES, ids=lambda c: c.name)
def test_help_ends_in_an_example_on_the_sample_data(command):
    last = command.help.strip().splitlines()[-1]
    paths = re.findall(r"data/[\w./-]+", last)
    reads_text = any("FILE" in (p.metavar or "") for p in command.params if p.param_type_name == "argument")
    assert "nlpkit" in last
    assert paths or not reads_text
    assert all((ROOT / path).exists() for path in paths)


@pytest.mark.parametrize("command", list(walk(get_command(app))), ids=lambda c: c.name)
def test_an_option_has_the_name_of_its_parameter(command):
    """Settings files and NLPKIT_* variables go by the parameter, users by the option."""
    for parameter in command.params:
        if parameter.param_type_name == "option":
            assert f"--{parameter.name.replace('_', '-')}" in parameter.opts
