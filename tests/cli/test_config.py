"""Where an option's value comes from: flag, environment, ./nlpkit.toml, user's file, default."""

import os
from pathlib import Path

import pytest

FLAG = ["inner", "deep", "--size", "5"]


@pytest.fixture
def local(tmp_path):
    return tmp_path / "nlpkit.toml"


@pytest.fixture
def user():
    path = Path(os.environ["XDG_CONFIG_HOME"], "nlpkit", "config.toml")
    path.parent.mkdir()
    return path


def size(demo, *args, **env):
    return int(demo(*(args or FLAG[:2]), env=env).stdout.split()[0])


def test_each_source_beats_the_next(demo, local, user):
    assert size(demo) == 1
    user.write_text("[inner.deep]\nsize = 2\nratio = 0.25\n")
    assert size(demo) == 2
    local.write_text("[inner.deep]\nsize = 3\n")
    assert size(demo) == 3
    assert size(demo, NLPKIT_INNER_DEEP_SIZE="4") == 4
    assert size(demo, *FLAG, NLPKIT_INNER_DEEP_SIZE="4") == 5
    assert "0.25" in demo(*FLAG).stdout, "files are merged key by key"


def test_lists_and_flags_can_be_set(demo, local):
    local.write_text('[inner.deep]\nnames = ["a", "b"]\n[words]\nquiet = true\n')
    assert "['a', 'b']" in demo("inner", "deep").stdout
    assert demo("words").stderr == ""


def test_relative_xdg_folder_is_ignored(demo, tmp_path):
    (tmp_path / "nlpkit").mkdir()
    (tmp_path / "nlpkit/config.toml").write_text("[inner.deep]\nsize = 2\n")
    assert size(demo, XDG_CONFIG_HOME=".", HOME=str(tmp_path / "home")) == 1


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[words]\n\ncuont = 1\n", 3, "did you mean 'count'?"),
        ("# hello\n[wrods]\ncount = 1\n", 2, "did you mean 'words'?"),
        ("[inner]\n[inner.dep]\n", 2, "did you mean 'deep'?"),
        ("[words]\ncount = = 1\n", 2, "Invalid value"),
        ("[words]\ncount =", 2, "Invalid value"),
        ('[words]\nforce = true\ncount = "many"\n', 3, "count: "),
        ('[words]\nformat = "yaml"\n', 2, "'yaml' is not one of"),
        ("words = 1\n", 1, "[words]"),
    ],
)
def test_wrong_file_is_named_with_its_line(demo, local, text, line, said):
    local.write_text(text)
    done = demo("words")
    assert done.returncode == 3
    assert done.stderr.startswith(f"nlpkit: error: nlpkit.toml:{line}: ")
    assert said in done.stderr


def test_settings_that_are_not_utf8_are_an_input_error(demo, local):
    local.write_bytes(b"[words]\n# \xff\n")
    done = demo("words")
    assert done.returncode == 3
    assert done.stderr == "nlpkit: error: nlpkit.toml:2: not UTF-8\n"


def test_wrong_environment_is_a_usage_error(demo):
    assert demo("words", env={"NLPKIT_WORDS_COUNT": "x"}).returncode == 2
