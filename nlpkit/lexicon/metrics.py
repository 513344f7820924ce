"""Scores of a segmentation against a gold one, as SIGHAN counts them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SegmentScore:
    """How well words were found.

    Attributes:
        lines: Lines compared.
        gold: Words of the gold segmentation.
        found: Words of the segmentation that is scored.
        correct: Words with both ends in the same places.
        precision: correct / found, in [0, 1].
        recall: correct / gold.
        f1: Their harmonic mean.
    """

    lines: int
    gold: int
    found: int
    correct: int
    precision: float
    recall: float
    f1: float


def spans(words: Sequence[str]) -> set[tuple[int, int]]:
    """Half-open spans of words laid end to end."""
    found, start = set(), 0
    for word in words:
        found.add((start, start + len(word)))
        start += len(word)
    return found


def score_segmentation(pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> SegmentScore:
    """Score pairs of a gold line and a found line, both lists of words without white space.

    Raises:
        ValueError: The two lines of a pair are different texts.
    """
    lines = gold_words = found_words = correct = 0
    for gold, found in pairs:
        if "".join(gold) != "".join(found):
            raise ValueError(f"line {lines + 1} is not the same text: {''.join(gold)[:20]!r}")
        lines += 1
        gold_words += len(gold)
        found_words += len(found)
        correct += len(spans(gold) & spans(found))
    precision = correct / found_words if found_words else 0.0
    recall = correct / gold_words if gold_words else 0.0
    f1 = 2 * precision * recall / (precision + recall) if correct else 0.0
    return SegmentScore(lines, gold_words, found_words, correct, precision, recall, f1)
