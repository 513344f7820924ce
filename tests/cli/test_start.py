"""What the real program does before any command runs."""

import os
import subprocess
import sys
import time

import pytest

HEAVY = "{'numpy', 'tensorflow', 'keras', 'jieba', 'rich', 'tqdm', 'nlpkit.discover'}"


def loaded(code, **env):
    """Run code that ends in SystemExit and return which heavy modules it left loaded."""
    probe = (
        f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\n"
        f"print(sorted({HEAVY} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr.strip()


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["discover", "--help"], ["-h"]])
def test_help_and_version_load_nothing_heavy(args):
    assert loaded(f"sys.argv[1:] = {args}; from nlpkit.cli import main; main()") == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_loads_no_numpy(shell):
    env = {
        "_NLPKIT_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "nlpkit d",
        "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": "nlpkit d",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    assert "numpy" not in loaded("from nlpkit.cli import main; main()", **env)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_offers_the_commands(nlpkit, shell):
    env = {
        "_NLPKIT_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "nlpkit disc",
        "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": "nlpkit disc",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    assert "discover" in nlpkit(env=env).stdout


def test_importing_the_package_loads_nothing_heavy():
    assert loaded("import nlpkit; nlpkit.Word") == "[]"


def test_unknown_public_name_is_an_attribute_error():
    import nlpkit

    with pytest.raises(AttributeError, match="Wrod"):
        _ = nlpkit.Wrod


def test_help_is_fast(nlpkit):
    """The aim is .3 s on an idle machine: the best of three, with room for a busy one."""
    times = []
    for _ in range(3):
        before = time.perf_counter()
        nlpkit("--help")
        times.append(time.perf_counter() - before)
    assert min(times) < 1


def test_no_arguments_print_the_help_and_exit_2(nlpkit):
    done = nlpkit()
    assert done.returncode == 2
    assert "Needs no model:" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("path", [[], ["discover"], ["evaluate"], ["evaluate", "words"]])
def test_every_level_has_help(nlpkit, path, flag):
    done = nlpkit(*path, flag)
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: {' '.join(['nlpkit', *path])} ")


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version_is_printed(nlpkit, flag):
    from nlpkit import __version__

    assert nlpkit(flag).stdout == f"nlpkit {__version__}\n"


def test_exit_codes_are_listed(nlpkit):
    listed = [line.split()[0] for line in nlpkit("help-exit-codes").stdout.splitlines()]
    assert listed == ["0", "1", "2", "3", "4", "5", "6", "130", "141"]
