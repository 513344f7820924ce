"""Lines of text as symbols for a decoder, and its cuts as words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nlpkit.ngram.alphabet import BREAK, NUM_CODE_POINTS, UNIT_PART, word_classes


@dataclass(frozen=True, slots=True)
class Symbols:
    """A text as symbols: every character one, a run of Latin letters and digits one, every break one 0.

    Attributes:
        text: The text.
        starts: Code point where each symbol starts, shape (num,).
        symbols: Shape (num,), 0 for a break.
        is_space: Whether the symbol is white space, shape (num,).
    """

    text: str
    starts: NDArray[np.int64]
    symbols: NDArray[np.uint32]
    is_space: NDArray[np.bool_]

    def words(self, ends: NDArray[np.bool_]) -> list[str]:
        """Cut the text into words, punctuation marks and white space, which joined give it again.

        Args:
            ends: Whether a word ends after each symbol, shape (num,). Between breaks this is not looked at:
                they stand alone, but the same mark in a row (——, ……), and white space, stays together.
        """
        if not self.text:
            return []
        breaks = self.symbols == 0
        first = _points(self.text)[self.starts]
        new_line = first == ord("\n")
        begins = np.ones(len(self.symbols), bool)
        begins[1:] = breaks[1:] | breaks[:-1] | ends[:-1]
        same = (
            breaks[1:] & breaks[:-1] & ((first[1:] == first[:-1]) | (self.is_space[1:] & self.is_space[:-1]))
        )
        begins[1:] &= ~same | new_line[1:] | new_line[:-1]
        bounds = [*self.starts[begins].tolist(), len(self.text)]
        return [self.text[start:end] for start, end in pairwise(bounds)]


def unit_runs(text: str) -> set[str]:
    """The runs of Latin letters and digits in a text."""
    part = word_classes()[_points(text)] == UNIT_PART
    bounds = np.flatnonzero(np.diff(part.astype(np.int8), prepend=0, append=0)).tolist()
    return {text[start:end] for start, end in zip(bounds[::2], bounds[1::2], strict=True)}


def _points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


class Numbering:
    """From text to symbols: the characters and units of a lexicon are 1 .. size.

    All other characters are size + 1; all other units are breaks, so that they stand alone.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """Number the names from 1; a name is a unit or a single code point, of which breaks stay breaks."""
        self._classes = word_classes()
        self._unknown = len(names) + 1
        self._points = np.where(self._classes == BREAK, 0, self._unknown).astype(np.uint32)
        self._units: dict[str, int] = {}
        for number, name in enumerate(names, 1):
            kind = self._classes[ord(name[0])]
            if kind == UNIT_PART:
                self._units[name] = number
            elif kind != BREAK:
                self._points[ord(name)] = number
        spaces = [point for point in range(0x3001) if chr(point).isspace()]
        self._is_space = np.zeros(NUM_CODE_POINTS, bool)
        self._is_space[spaces] = True

    def read(self, text: str) -> Symbols:
        """Turn a text into symbols."""
        points = _points(text)
        part = self._classes[points] == UNIT_PART
        begins = np.ones(len(points), bool)
        begins[1:] = ~(part[1:] & part[:-1])
        starts = np.flatnonzero(begins)
        symbols = self._points[points[starts]]
        lengths = np.diff(starts, append=len(points))
        for at in np.flatnonzero(part[starts]).tolist():
            unit = text[starts[at] : starts[at] + lengths[at]]
            symbols[at] = self._units.get(unit, 0)
        return Symbols(text, starts, symbols, self._is_space[points[starts]])
