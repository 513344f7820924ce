import io
import json
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from nlpkit.cli.input import Encoding, Memory, OnError, Seed, TextKey, Threads, Tmp, input_paths


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_given_files_are_what_is_read():
    assert input_paths([Path("a"), Path("-")]) == [Path("a"), Path("-")]


@pytest.mark.parametrize("stdin", [io.StringIO(), None])
def test_without_files_standard_input_is_read(monkeypatch, stdin):
    monkeypatch.setattr(sys, "stdin", stdin)
    assert input_paths([]) == [Path("-")]


def test_without_files_at_a_terminal_it_is_a_usage_error(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(typer.BadParameter, match=r"cat news\.txt \| nlpkit") as caught:
        input_paths([])
    assert caught.value.exit_code == 2


def _app():
    app = typer.Typer()

    @app.command()
    def show(
        encoding: Encoding = "utf-8",
        text_key: TextKey = None,
        on_error: OnError = "skip",
        memory: Memory = None,
        tmp: Tmp = None,
        threads: Threads = None,
        seed: Seed = 0,
    ):
        print(json.dumps([encoding, text_key, on_error, memory, str(tmp), threads, seed]))

    return app


def run(*args):
    return CliRunner().invoke(_app(), args)


def test_shared_options_are_read():
    args = "--encoding GBK --text-key body --on-error fail --memory 1.5G --tmp /tmp --threads 2 --seed 3"
    assert json.loads(run(*args.split()).stdout) == ["gbk", "body", "fail", 3 << 29, "/tmp", 2, 3]
    assert json.loads(run().stdout) == ["utf-8", None, "skip", None, "None", None, 0]


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["--memory", "lots"], "not a size"),
        (["--encoding", "nonsense"], "unknown encoding"),
        (["--on-error", "hide"], "--on-error"),
        (["--threads", "0"], "--threads"),
        (["--tmp", "/no/such/folder"], "--tmp"),
    ],
)
def test_a_wrong_option_is_a_usage_error(args, reason):
    result = run(*args)
    assert result.exit_code == 2
    assert reason in result.stderr


def test_help_shows_the_shared_options():
    result = run("--help")
    assert result.exit_code == 0
    for name in ("--encoding", "--text-key", "--on-error", "--memory", "--tmp", "--threads"):
        assert name in result.stdout
