"""The two READMEs show what really happens, and say the same."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READMES = ["README.md", "README.zh-CN.md"]


def blocks(name):
    """Runs of indented lines, without the indent."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return [re.sub("^    ", "", block, flags=re.M) for block in re.findall(r"(?:^    .*\n)+", text, re.M)]


@pytest.mark.parametrize("name", READMES)
def test_the_example_is_the_real_output(name, nlpkit):
    command, output = blocks(name)[0].split("\n", 1)
    words = shlex.split(command)[2:]
    files = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(words[1]))
    done = nlpkit(words[0], *files, *words[2:], "--format", "table", env={"COLUMNS": "100"})
    assert done.stdout == output


def test_both_have_the_same_commands_and_figures():
    english, chinese = ([re.sub("#.*", "", block) for block in blocks(name)] for name in READMES)
    assert [block.split() for block in english] == [block.split() for block in chinese]
    tables = [re.findall(r"^\|.*", (ROOT / name).read_text(encoding="utf-8"), re.M) for name in READMES]
    figures = [[sorted(re.findall(r"\d[\d.,]*", row)) for row in table] for table in tables]
    assert figures[0] == figures[1]


@pytest.mark.parametrize("name", READMES)
def test_links_lead_to_files(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / target).exists(), target
