"""How to discover words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nlpkit.ngram.saved import Saved

Method = Literal["entropy", "cohesion"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How to discover words.

    Attributes:
        method: "entropy" takes cohesion, both branching entropies and edges into account; "cohesion" is the
            seed algorithm.
        min_count: Least count; None: `scores.default_min_count`, 32 for the seed.
        max_order: Longest n-gram that is counted, 2 .. 8.
        split_latin: Count Latin letters and digits one by one.
        refine: Re-estimate the words as a model of the whole text.
        seed: Start of the random numbers of that.
        new_only: Leave out known words.
        known: Dictionaries as bytes, a word at the start of each line.
        counts: Files of saved counts to add to those of the texts.
        keep_counts: Leave the counts, of every unit however rare, in the result, to be saved.
        background: Texts, as bytes, or saved counts of a corpus to compare with.
        threads: Threads to use.
        memory_bytes: Bytes to use for counting.
        tmp: Folder for what does not fit, None: the system's.
    """

    method: Method = "entropy"
    min_count: int | None = None
    max_order: int = 4
    split_latin: bool = False
    refine: bool = False
    seed: int = 0
    new_only: bool = True
    known: Sequence[Any] = ()
    counts: Sequence[Path] = ()
    keep_counts: bool = False
    background: Sequence[Any | Saved] = ()
    threads: int = 1
    memory_bytes: int = 1 << 62
    tmp: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot go together: ValueError."""
        if self.refine and self.method != "entropy":
            raise ValueError("a refinement starts from the text alone: it has no method")
        if self.counts and (self.refine or self.method == "cohesion"):
            raise ValueError("saved counts do not suffice for a refinement, nor for the cohesion method")
        if self.background and (self.refine or self.method == "cohesion"):
            raise ValueError("a background ranks the words of the entropy method only")
