import io
import sys

from nlpkit.cli import messages
from nlpkit.cli.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_nothing_is_shown_without_a_terminal(capsys):
    with progress_bar() as progress:
        progress("counting", 1, 2)
    assert capsys.readouterr().err == ""


def test_stages_follow_each_other(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar("B") as progress:
        progress("counting", 1, 2)
        progress("counting", 2, 2)
        progress("scoring", 0, 0)
    assert "counting" in sys.stderr.getvalue()
    assert "scoring" in sys.stderr.getvalue()


def test_quiet_shows_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(messages, "verbosity", -1)
    with progress_bar() as progress:
        progress("counting", 1, 2)
    assert sys.stderr.getvalue() == ""
