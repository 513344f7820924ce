"""The average of the weights along the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nlpkit.bert import backend
from nlpkit.bert.resumable import Resumable, checked_names


class Average(Resumable):
    """The exponential moving average of variables, which often does better than the last weights.

    After t updates the decay is min(rate, (1 + t) / (10 + t)): early weights are soon forgotten.
    The average starts at the weights as they are when it is created.
    """

    def __init__(self, variables: Sequence[Any], rate: float, names: Sequence[str] | None = None) -> None:
        """Start the average.

        Args:
            rate: the decay in the long run, in [0, 1).
            names: what the state calls the variables; by default their positions.

        Raises:
            ValueError: the rate is out of range, or not every variable has a name of its own.
        """
        if not 0 <= rate < 1:
            raise ValueError(f"the rate of an average is {rate:g}, which is not in [0, 1)")
        tf = backend.tensorflow()
        self._rate = rate
        self._variables = list(variables)
        self._shadows = [tf.Variable(v.read_value(), trainable=False) for v in self._variables]
        self._updates = tf.Variable(0, trainable=False, dtype=tf.int64)
        named = zip(checked_names(names, self._variables), self._shadows, strict=True)
        self._state = {"updates": self._updates} | {f"{name}/average": shadow for name, shadow in named}
        self._update_function = tf.function(self._update, autograph=False)

    def update(self) -> None:
        """Move the average towards the variables, in eager mode or inside a tf.function."""
        self._update_function()

    def _update(self) -> None:
        tf = backend.tensorflow()
        updates = tf.cast(self._updates, tf.float32)
        step = 1.0 - tf.minimum(self._rate, (1.0 + updates) / (10.0 + updates))
        for shadow, variable in zip(self._shadows, self._variables, strict=True):
            shadow.assign_add(step * (variable - shadow))
        self._updates.assign_add(1)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Give the variables their averages inside the block, and their own values back after it."""
        own = [variable.read_value() for variable in self._variables]
        try:
            for variable, shadow in zip(self._variables, self._shadows, strict=True):
                variable.assign(shadow)
            yield
        finally:
            for variable, value in zip(self._variables, own, strict=True):
                variable.assign(value)
