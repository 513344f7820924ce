"""Edges that betray a phrase: function words, numerals and measure words at either end of a candidate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nlpkit.discover.candidates import Candidates
from nlpkit.ngram.alphabet import Alphabet
from nlpkit.ngram.grams import NOT_FOUND, GramTable

_FUNCTION = (
    "的了是在和与及或而将被把由从向对以也都就很最更再又并且所这那每各某该其您你我他她它会要让等得于为到说"
)
_LEFT_ONLY = "里想能只仅还已曾正仍才却则亦未暂请比当使至不没有使令"
_RIGHT_ONLY = "给着中上下内里后前时"
_NUMERALS = "〇零一二两三四五六七八九十百千万亿几第半数"
_MEASURES = "个名次位件种年月日号项条届岁元时分秒余多枚人"
_FREE_LEFT = frozenset(_FUNCTION + _LEFT_ONLY + _NUMERALS + _MEASURES)
_FREE_RIGHT = frozenset(_FUNCTION + _RIGHT_ONLY + _NUMERALS)
_STRONG_COHESION = 4.5  # two symbols that hold together so well are a word whatever they are: 并网, 不锈


def _flags(alphabet: Alphabet, symbols: frozenset[str]) -> NDArray[np.bool_]:
    return np.array([name in symbols for name in alphabet.names])


def _is_number(alphabet: Alphabet) -> NDArray[np.bool_]:
    return np.array([name.isdigit() for name in alphabet.names])


def _stands_alone(
    table: GramTable, kept: NDArray[np.bool_], rest: NDArray[np.uint32], counts: NDArray[np.uint64]
) -> NDArray[np.bool_]:
    """Tell which rests of words, of these counts, are kept grams that mostly occur without the word."""
    rows = table.find(rest)
    there = np.where(rows == NOT_FOUND, 0, rows)
    alone: NDArray[np.bool_] = (rows != NOT_FOUND) & kept[there] & (table.counts[there] >= 2 * counts)
    return alone


def phrase_edges(
    candidates: Candidates, table: GramTable, kept: NDArray[np.bool_], alphabet: Alphabet
) -> NDArray[np.bool_]:
    """Tell which candidates are a phrase by their edges.

    A number makes a phrase, and so do numerals alone. A free symbol (function word, numeral,
    measure word) at an edge makes one where what remains is a kept gram that mostly occurs alone; of two
    symbols, where they do not hold together strongly.

    Args:
        kept: Which grams of the table hold together, shape (num grams,).
    """
    words = candidates.words
    lengths = words.lengths
    starts, ends = words.starts.astype(np.int64), words.ends.astype(np.int64)
    number, numeral = _is_number(alphabet), _flags(alphabet, frozenset(_NUMERALS))
    free_left, free_right = _flags(alphabet, _FREE_LEFT), _flags(alphabet, _FREE_RIGHT)
    left, right = words.symbols[starts], words.symbols[ends - 1]
    phrase = np.zeros(len(words), bool)
    if len(words):
        phrase = (lengths > 1) & np.logical_or.reduceat(number[words.symbols], starts)
        phrase |= np.logical_and.reduceat(numeral[words.symbols], starts)
    pairs = lengths == 2
    phrase |= pairs & (free_left[left] | free_right[right]) & (candidates.cohesion < _STRONG_COHESION)
    for length in range(3, len(table.symbols) + 2):
        rows = np.flatnonzero(lengths == length)
        symbols = words.symbols[starts[rows][:, None] + np.arange(length)]
        counts = candidates.counts[rows]
        phrase[rows] |= free_left[left[rows]] & _stands_alone(table, kept, symbols[:, 1:], counts)
        phrase[rows] |= free_right[right[rows]] & _stands_alone(table, kept, symbols[:, :-1], counts)
    return phrase
