"""What every test needs: a plain environment, and ways to run the command line for real."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "tests/cli/demo.py"
Run = Callable[..., subprocess.CompletedProcess[str]]

settings.register_profile("nlpkit", deadline=None)  # a busy machine is no failure
settings.load_profile("nlpkit")


@pytest.fixture(autouse=True, scope="session")
def _signals_act():
    """Programs under test inherit what is ignored, such as SIGHUP under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch, tmp_path_factory):
    """Keep the terminal and the settings of whoever runs the tests out of them."""
    for name in list(os.environ):
        if name.startswith("NLPKIT_") or name in (
            "NO_COLOR",
            "FORCE_COLOR",
            "TERM",
            "PYTHONUNBUFFERED",
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def _run(program, args, stdin="", cwd=ROOT, env=None):
    return subprocess.run(
        [sys.executable, *program, *map(str, args)],
        input=stdin,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.fixture
def nlpkit() -> Run:
    """Run `nlpkit ARGS` in the project's folder: nlpkit(*args, stdin="", cwd=ROOT, env=None)."""
    return lambda *args, **more: _run(["-m", "nlpkit"], args, **more)


@pytest.fixture
def demo(tmp_path) -> Run:
    """Run tests/cli/demo.py, a program on the same frame, in an empty folder."""
    return lambda *args, **more: _run([DEMO], args, **{"cwd": tmp_path, **more})


@pytest.fixture
def golden(nlpkit):
    """Compare a whole run with tests/cli/golden/NAME.txt: golden(name, *args, stdin="", env=None).

    UPDATE_GOLDEN=1 writes the file; read the difference before you commit it.
    """
    folder = ROOT / "tests/cli/golden"

    def check(name, *args, **more):
        done = nlpkit(*args, **more)
        got = f"--- stdout\n{done.stdout}--- stderr\n{done.stderr}--- exit {done.returncode}\n"
        got = f"$ nlpkit {' '.join(args)}\n{got}"
        path = folder / f"{name}.txt"
        if os.environ.get("UPDATE_GOLDEN"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(got, "utf-8")
        assert got == path.read_text("utf-8")

    return check
