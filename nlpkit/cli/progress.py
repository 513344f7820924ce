"""A progress bar for people: on standard error, only at a terminal, gone at the end."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nlpkit.cli import messages

# Called with the stage's name, how much of it is done, and the whole (0: not known), in one unit.
Progress = Callable[[str, int, int], None]


@contextmanager
def progress_bar(unit: str = "") -> Iterator[Progress]:
    """Yield the callback to hand to a pipeline; without a terminal or under `-q` it does nothing.

    Args:
        unit: What is counted, for example "B" for bytes; shown behind the rate.
    """
    if messages.verbosity < 0 or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    bar = _Bar(unit)
    try:
        yield bar.update
    finally:
        bar.close()


class _Bar:
    """One tqdm bar at a time; a new stage replaces the bar of the stage before."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._stage = ""
        self._bar: Any = None

    def update(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of `total` units of `stage` are done."""
        if self._bar is None or stage != self._stage:
            self._open(stage, total)
        self._bar.total = total or None
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _open(self, stage: str, total: int) -> None:
        from tqdm import tqdm  # 30 ms that only a terminal has to pay

        self.close()
        self._stage = stage
        self._bar = tqdm(
            desc=stage,
            total=total or None,
            unit=self._unit,
            unit_scale=bool(self._unit),
            bar_format=None if self._unit else "{l_bar}{bar}| {elapsed}<{remaining}",
            dynamic_ncols=True,
            leave=False,
            file=sys.stderr,
        )
