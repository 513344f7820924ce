"""Cut symbols into words with the words and counts of a lexicon."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nlpkit.lexicon import _lexicon
from nlpkit.lexicon.refine import check_symbols


class Decoder:
    """Finds the segmentation with the most words expected to be right.

    Every word between two breaks has a probability under a unigram model of the lexicon (see model.h); the
    answer is the segmentation with the largest sum. Any string of up to 3 symbols may be a word. A run above
    4096 symbols is cut in windows of 4096, the last 256 of each cut again by the next.

    Cost: linear, some 50 MB of text a second, and less than 3 MB beside the arrays.
    """

    def __init__(
        self, symbols: NDArray[np.uint32], lengths: NDArray[np.uint32], counts: NDArray[np.float64]
    ) -> None:
        """Take the lexicon.

        Args:
            symbols: The words' symbols one after another, each 1 .. 2**24, shape (lengths.sum(),).
            lengths: Symbols in each word, 1 .. 64, shape (num_words,).
            counts: Tokens of each word, finite, >= 0, shape (num_words,). A word listed twice has the sum.

        Raises:
            ValueError: an array is out of these bounds.
        """
        check_symbols(symbols)
        if len(symbols) and symbols.min() == 0:
            raise ValueError("a word holds the break symbol 0")
        if len(counts) and not (np.isfinite(counts).all() and counts.min() >= 0):
            raise ValueError("counts must be finite and not negative")
        lengths = np.ascontiguousarray(lengths, np.uint32)
        self._decoder = _lexicon.decoder_new(symbols, lengths, np.ascontiguousarray(counts, np.float64))

    def cut(self, symbols: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Mark where words end.

        Args:
            symbols: A text, 0 for a break; symbols that the lexicon does not hold are any others.

        Returns:
            Whether a word ends after each symbol; False at a break, True before one and at the end.
        """
        check_symbols(symbols)
        return np.frombuffer(_lexicon.decoder_cut(self._decoder, symbols), np.bool_)
