"""Precision of a ranked list of words against dictionaries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WordScore:
    """How many of the first words a dictionary lists.

    Attributes:
        at: Rank down to which words are looked at.
        words: Words there are down to this rank.
        known: How many of them a dictionary lists.
        precision: known / words, in [0, 1].
    """

    at: int
    words: int
    known: int
    precision: float


def precision_at(words: Sequence[str], known: Set[str], ranks: Sequence[int]) -> Iterator[WordScore]:
    """Yield the precision at each rank; a list that is shorter is scored as long as it is."""
    for rank in ranks:
        first = words[:rank]
        num_known = sum(word in known for word in first)
        yield WordScore(rank, len(first), num_known, num_known / len(first) if first else 0.0)
