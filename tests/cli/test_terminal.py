"""What a person at a terminal sees: the program runs on a pseudo-terminal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
termios = pytest.importorskip("termios", reason="needs pseudo-terminals")
DEMO = Path(__file__).with_name("demo.py")


def screen(cwd, *args, **env):
    """Run the demo with all streams on one terminal and return what it wrote there."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    environment = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **env}
    program = subprocess.Popen(
        [sys.executable, DEMO, *args],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env=environment,
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    assert program.wait() == 0
    return seen.decode()


def test_terminal_gets_a_table_with_a_bold_head(tmp_path):
    seen = screen(tmp_path, "words")
    assert "\033[1mword  count" in seen


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_terminal_without_colour_gets_no_escape_codes(tmp_path, env):
    assert "\033[1m" not in screen(tmp_path, "words", **env)


def test_progress_is_shown_and_taken_away(tmp_path):
    seen = screen(tmp_path, "words", "-f", "jsonl")
    assert "writing" in seen
    assert seen.rsplit("\r", 1)[1].strip() == "", "the bar is the last thing to be wiped"


def test_quiet_shows_no_progress(tmp_path):
    assert "writing" not in screen(tmp_path, "words", "-q")
