"""How a run ends, on a program that fails on purpose (demo.py)."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

DEMO = Path(__file__).with_name("demo.py")
HAS_FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def shell(line, cwd):
    """Run a line of bash in which $demo is the program."""
    env = {**os.environ, "demo": f"{sys.executable} {DEMO}"}
    return subprocess.run(["bash", "-c", line], cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_domain_error_is_two_lines_and_its_exit_code(demo):
    done = demo("fail")
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        "nlpkit: error: corpus.txt:3: malformed",
        "nlpkit: hint: do this",
    ]


def test_domain_error_without_hint_is_one_line(demo):
    assert demo("fail", "--hint", "").stderr == "nlpkit: error: corpus.txt:3: malformed\n"


def test_debug_shows_the_traceback_of_a_domain_error(demo):
    done = demo("--debug", "fail")
    assert done.returncode == 3
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("nlpkit: hint: do this\n")


def test_bug_shows_its_traceback_and_where_to_report_it(demo):
    done = demo("bug")
    assert done.returncode == 1
    assert "KeyError: 'oops'" in done.stderr
    assert "report" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["word"], "No such command 'word'. Did you mean 'words'?"),
        (["inner", "depe"], "No such command 'depe'. Did you mean 'deep'?"),
        (["words", "--cuont", "1"], "No such option: --cuont. Did you mean '--count'?"),
        (["--debgu", "words"], "No such option: --debgu. Did you mean '--debug'?"),
    ],
)
def test_typo_gets_a_suggestion(demo, args, message):
    done = demo(*args)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == f"nlpkit: error: {message}"
    assert done.stderr.splitlines()[1].endswith("--help")


def test_subcommands_without_arguments_print_help_and_exit_2(demo):
    done = demo("inner")
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: nlpkit inner ")


def test_help_lists_commands_by_panel(demo):
    text = demo("--help").stdout
    assert "Needs no model:\n  words" in text
    assert "Needs a model:\n  inner" in text


@pytest.mark.parametrize("args", ["words -q --count 100000", "full", "--help"])
def test_closed_pipe_is_silent(tmp_path, args):
    done = shell(f"$demo {args} | head -n 0; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert done.stderr == ""
    # What fits into the pipe before the reader leaves is no error.
    assert done.stdout.split()[-1] in ({"141"} if "100000" in args else {"0", "141"})


@pytest.mark.parametrize("args", ["full", "--help", "words -q"])
def test_reader_that_was_never_there_is_silent(tmp_path, args):
    line = f"mkfifo p; (exec 3<p; sleep .1; exec 3<&-) & exec 4>p; sleep .3; $demo {args} >&4"
    done = shell(f"{line}; echo code $? >&2", tmp_path)
    assert done.stderr == "code 141\n"


@HAS_FULL
@pytest.mark.parametrize("args", ["full", "--help", "words -q", "words -q -o /dev/full"])
def test_full_disk_is_an_output_error(tmp_path, args):
    done = shell(f"$demo {args} > /dev/full", tmp_path)
    assert done.returncode == 6
    assert len(done.stderr.splitlines()) == 1
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signal_ends_the_run_at_once_and_leaves_no_file(tmp_path, number, code):
    program = subprocess.Popen(
        [sys.executable, DEMO, "wait", "-o", "out.txt"], cwd=tmp_path, stderr=subprocess.PIPE
    )
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    before = time.perf_counter()
    program.send_signal(number)
    _, said = program.communicate(timeout=30)
    assert program.returncode == code
    assert time.perf_counter() - before < 5
    assert said == b""
    assert [path.name for path in tmp_path.iterdir()] == ["ready"]


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_output_is_utf8_whatever_the_locale(demo, locale):
    env = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert '"中文"' in demo("words", "-q", env=env).stdout


def test_lone_surrogate_is_escaped(demo):
    done = demo("surrogate")
    assert (done.returncode, done.stdout) == (0, "\\ud800中\n")


def test_quiet_and_verbose_choose_what_is_said(demo):
    assert demo("words", "-q").stderr == ""
    assert demo("-q", "words").stderr == ""
    assert demo("words").stderr == "nlpkit: warning: a warning\n"
    assert demo("words", "-v").stderr.count("\n") == 2
    assert demo("words", "-vv").stderr.count("\n") == 3
