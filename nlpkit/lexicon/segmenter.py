"""Segmentation with a lexicon: from words with counts to a segmenter of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from nlpkit.lexicon.decode import Decoder
from nlpkit.lexicon.tokens import Numbering, unit_runs
from nlpkit.ngram import _kernel

MAX_WORD = 64  # symbols in a word, as in kernel.h


class LexiconSegmenter:
    """Cuts text into the words of a lexicon; runs of Latin letters and digits stay whole."""

    def __init__(self, words: Mapping[str, float], *, connect: bool = False) -> None:
        """Take words with their counts.

        Left out are words that hold a punctuation mark or white space, and those beyond 64 symbols.

        Args:
            connect: Cut only where no word covers both sides (the longest connection of the seed algorithm),
                whatever the counts; else take the likeliest words.
        """
        self._ends: Callable[[NDArray[np.uint32]], NDArray[np.bool_]]
        text = "\n".join(words)
        self._numbering = Numbering([*sorted(set(text) - {"\n"}), *sorted(unit_runs(text))])
        read = self._numbering.read(text)
        widths = np.fromiter(map(len, words), np.int64, len(words))
        starts = np.cumsum(widths + 1) - widths - 1
        first, last = np.searchsorted(read.starts, starts), np.searchsorted(read.starts, starts + widths)
        breaks = np.concatenate([np.zeros(1, np.int64), np.cumsum(read.symbols == 0)])
        whole = (breaks[last] == breaks[first]) & (last > first) & (last - first <= MAX_WORD)
        lengths = (last - first)[whole]
        places = np.repeat(first[whole] - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        symbols = read.symbols[places]
        if connect:
            trie = _kernel.trie_new(int(symbols.max(initial=0)), symbols, np.cumsum(lengths, dtype=np.uint64))
            self._ends = partial(_connected_ends, trie)
        else:
            counts = np.fromiter(words.values(), np.float64, len(words))[whole]
            self._ends = Decoder(symbols, lengths.astype(np.uint32), counts).cut

    def cut(self, lines: Sequence[str]) -> list[list[str]]:
        """Cut lines into words, punctuation marks and white space, which joined give the line again."""
        read = self._numbering.read("\n".join(lines))
        pieces = iter(read.words(self._ends(read.symbols)))
        return [list(_pieces_of(line, pieces)) for line in lines]


def _connected_ends(trie: _kernel.Trie, symbols: NDArray[np.uint32]) -> NDArray[np.bool_]:
    return np.frombuffer(_kernel.connect(trie, symbols), np.bool_)


def _pieces_of(line: str, pieces: Iterator[str]) -> Iterator[str]:
    """Take the pieces that make up a line, and the line end behind it."""
    left = len(line)
    while left:
        piece = next(pieces)
        left -= len(piece)
        yield piece
    next(pieces, None)
