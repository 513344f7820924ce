"""State in tf.Variables that a resumed run gets back bit for bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nlpkit.errors import ModelError

State = dict[str, npt.NDArray[Any]]


class Resumable:
    """What can give its whole state out and take it back."""

    _state: dict[str, Any]  # tf.Variables

    def state(self) -> State:
        """Copy everything out that the next update depends on, beside the weights themselves."""
        return {name: variable.numpy() for name, variable in self._state.items()}

    def load_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Put back what `state` gave; updates go on as if there had been no break.

        Raises:
            ModelError: it is the state of another optimizer or of other variables; nothing has changed.
        """
        what = type(self).__name__.lower()
        hint = "resume with the settings of the first run, or start anew without --resume"
        strange = sorted(self._state.keys() ^ state.keys())
        if strange:
            raise ModelError(f"the saved {what} is of another kind: {strange[0]}", hint=hint)
        for name, variable in self._state.items():
            if np.shape(state[name]) != tuple(variable.shape):
                shapes = f"{np.shape(state[name])}, not {tuple(variable.shape)}"
                raise ModelError(f"the saved {what} has {name} of shape {shapes}", hint=hint)
        for name, variable in self._state.items():
            variable.assign(state[name])


def checked_names(names: Sequence[str] | None, variables: Sequence[Any]) -> list[str]:
    """Return one name for each variable."""
    # Not the variables' own names: Keras counts layers up over the whole life of a process.
    names = [str(number) for number in range(len(variables))] if names is None else list(names)
    if len(names) != len(variables) or len(set(names)) != len(names):
        raise ValueError(f"{len(variables)} variables need as many different names")
    return names
