"""The folder of one training run: its settings, its log and the state to resume from."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nlpkit.errors import InputError, ModelError, OutputError

# What a resumed run may have otherwise: how long it goes on and what watches it.
MAY_CHANGE = {"steps", "schedule", "warmup", "evaluate_every", "patience", "device", "threads"}

Arrays = dict[str, npt.NDArray[Any]]


class RunFolder:
    """Files of a run: settings.json, metrics.jsonl, state.safetensors, and what its task adds."""

    def __init__(self, path: Path) -> None:
        """Name the folder; nothing is read or written yet."""
        self.path = path
        self.log_path = path / "metrics.jsonl"
        self._settings_path = path / "settings.json"
        self._state_path = path / "state.safetensors"
        self._lock_path = path / "lock"

    def check(self, settings: Mapping[str, Any], *, resume: bool, force: bool) -> None:
        """Make sure that a run with these settings may begin or go on here; nothing is written.

        A run without a saved state is no loss, so that a new one may take its place.

        Raises:
            OutputError: there is another run and neither `resume` nor `force`, or no run but other files.
            InputError: nothing to resume, or a run with other settings.
        """
        if resume:
            self._check_same(_as_json(settings))
            return
        if self._state_path.exists():
            if not force:
                raise OutputError(
                    f"{self.path} holds a training run", hint="--resume goes on, --force starts anew"
                )
        elif not self._settings_path.exists() and self._holds_anything():
            raise OutputError(f"{self.path}: this is no training run, so it is not replaced")

    def _holds_anything(self) -> bool:
        if not self.path.is_dir():
            return self.path.exists()
        return any(path != self._lock_path for path in self.path.iterdir())

    @contextmanager
    def opened(self, settings: Mapping[str, Any], *, resume: bool) -> Iterator[None]:
        """Hold the folder inside the block; without `resume` it is emptied and gets the settings.

        Raises:
            OutputError: another process holds it, or it cannot be written.
        """
        with _written(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if not resume:
                with _written(self.path):
                    for path in self.path.iterdir():
                        if path != self._lock_path:
                            shutil.rmtree(path) if path.is_dir() else path.unlink()
                    self._settings_path.write_text(_as_json(settings), "utf-8")
            yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes out: two runs would write over each other's states."""
        if sys.platform == "win32":
            yield
            return
        import fcntl

        with _written(self._lock_path):
            handle = os.open(self._lock_path, os.O_CREAT | os.O_RDWR)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(
                    f"{self.path}: another process is training here", hint="let it end, or choose another -o"
                ) from None
            except OSError:  # a file system without locks
                pass
            yield
        finally:
            os.close(handle)

    def _check_same(self, text: str) -> None:
        settings = json.loads(text)
        try:
            before = json.loads(self._settings_path.read_text("utf-8"))
            names = sorted((before.keys() | settings.keys()) - MAY_CHANGE)
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"{self.path} holds no run to resume", hint="leave --resume out") from error
        for name in names:
            if before.get(name) != settings.get(name):
                raise InputError(
                    f"the run to resume had {name} = {before.get(name)!r}, now it is {settings.get(name)!r}",
                    hint="repeat the command as it was, or start anew with --force",
                )

    def log(self, figures: Mapping[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        rounded = {name: _rounded(value) for name, value in figures.items()}
        with _written(self.log_path), open(self.log_path, "a", encoding="utf-8") as file:
            file.write(json.dumps(rounded) + "\n")

    def cut_log(self, step: int) -> None:
        """Forget what was logged after a step, because the run goes on from there."""
        if not self.log_path.exists():
            return
        half = self.log_path.with_suffix(".half")
        with _written(half):
            kept = [line for line in self.log_path.read_text("utf-8").splitlines() if _step_of(line) <= step]
            half.write_text("".join(line + "\n" for line in kept), "utf-8")
            half.replace(self.log_path)

    def save_state(self, arrays: Arrays, standing: Mapping[str, Any]) -> None:
        """Write a state in the place of the last one, which stays until this one is whole.

        Raises:
            OutputError: the disk is full or cannot be written.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        half = self._state_path.with_suffix(".half")
        packed = {name: np.asarray(value, order="C") for name, value in arrays.items()}
        try:
            save_file(packed, half, metadata={"standing": json.dumps(dict(standing))})
            half.replace(self._state_path)
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                half.unlink(missing_ok=True)
            raise OutputError(f"{self._state_path}: cannot write: {error}") from error

    def load_state(self) -> tuple[Arrays, dict[str, Any]] | None:
        """Read the state; None when none was saved yet.

        Raises:
            ModelError: it is damaged.
        """
        from safetensors import SafetensorError, safe_open

        if not self._state_path.exists():
            return None
        try:
            with safe_open(self._state_path, framework="numpy") as file:
                standing = json.loads((file.metadata() or {})["standing"])
                return {name: file.get_tensor(name) for name in file.keys()}, standing  # noqa: SIM118
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise ModelError(
                f"{self._state_path}: the saved state is damaged: {error}", hint="start anew with --force"
            ) from error


def _as_json(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def _step_of(line: str) -> float:
    """Return the step of a line of the log; a line that was cut short by a kill comes after all."""
    try:
        return float(json.loads(line)["step"])
    except ValueError:
        return float("inf")


def _rounded(value: Any) -> Any:
    """Six digits are enough for a log; what is not finite has no JSON form."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if np.isfinite(value) else None


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror or error}") from error
