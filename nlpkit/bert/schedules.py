"""How the learning rate moves with the step: straight lines between given points."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Schedule:
    """Multiples of the learning rate by step, with straight lines between them.

    Attributes:
        points: (step, multiple) in the order of steps. The line starts at (0, 0) unless a point
            says otherwise, and keeps its last multiple for ever. No points: 1 at every step.

    Raises:
        ValueError: a step is negative or not above the one before it; a multiple is negative or no
            finite number.
    """

    points: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        """Refuse points that draw no line."""
        for step, multiple in self.points:
            if step < 0:
                raise ValueError(f"step {step} is negative")
            if not (math.isfinite(multiple) and multiple >= 0):
                raise ValueError(f"{multiple:g} at step {step} is no multiple of a learning rate")
        for (before, _), (step, _) in pairwise(self.points):
            if step <= before:
                raise ValueError(f"step {step} comes after step {before}: steps must grow")

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read `1000:1,5000:0.1`: up to the whole rate at step 1,000, down to a tenth at step 5,000.

        Raises:
            ValueError: the text says no such thing; the message says why, for a user to read.
        """
        return cls(tuple(_point(part) for part in text.split(",")))

    def __str__(self) -> str:
        """The text that `parse` reads; constant rates are `0:1`."""
        return ",".join(f"{step}:{multiple!r}" for step, multiple in self.points or ((0, 1),))

    def rate(self, step: int) -> float:
        """Return the multiple at a step, counted from 0."""
        points = self.points or ((0, 1.0),)
        if points[0][0] > 0:
            points = ((0, 0.0), *points)
        following = bisect_right(points, step, key=lambda point: point[0])
        if following == len(points):
            return points[-1][1]
        (start, low), (end, high) = points[following - 1 : following + 1]
        return low + (high - low) * (step - start) / (end - start)


def linear(total_steps: int, warmup: int = 0) -> Schedule:
    """Rise from 0 to 1 in `warmup` steps, then fall to 0 at `total_steps`.

    Raises:
        ValueError: the warm-up is negative or leaves no step to fall in.
    """
    if not 0 <= warmup < total_steps:
        raise ValueError(f"a warm-up of {warmup} steps does not fit into {total_steps} steps")
    return Schedule(((warmup, 1.0), (total_steps, 0.0)))


def _point(text: str) -> tuple[int, float]:
    """Read one `STEP:MULTIPLE`."""
    step, _, multiple = text.partition(":")
    try:
        return int(step), float(multiple)
    except ValueError:
        raise ValueError(f"{text.strip()!r} is not STEP:MULTIPLE, as in 1000:1,5000:0.1") from None
