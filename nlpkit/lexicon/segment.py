"""Segmentation line by line, whatever the segmenter: batches in, words with their places out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from nlpkit.text import Line

BATCH_CODE_POINTS = 1 << 17
SEPARATOR = "  "  # between words, as SIGHAN writes them


class Segmenter(Protocol):
    """Cuts lines into words, punctuation marks and white space, which joined give the line again."""

    def cut(self, lines: Sequence[str]) -> list[list[str]]:
        """Cut each line."""
        ...


@dataclass(frozen=True, slots=True)
class Segmented:
    """One line and its pieces, white space included."""

    line: Line
    pieces: list[str]

    def words(self) -> list[str]:
        """The pieces that are not white space."""
        return [piece for piece in self.pieces if not piece.isspace()]

    def offsets(self) -> list[tuple[int, int]]:
        """Half-open places of the words, in code points of the line."""
        places, start = [], 0
        for piece in self.pieces:
            if not piece.isspace():
                places.append((start, start + len(piece)))
            start += len(piece)
        return places

    def spaced(self) -> str:
        """The line with two spaces between words that stood side by side; white space stays as it is."""
        if len(self.words()) == len(self.pieces):
            return SEPARATOR.join(self.pieces)
        out, after_word = [], False
        for piece in self.pieces:
            is_word = not piece.isspace()
            if is_word and after_word:
                out.append(SEPARATOR)
            out.append(piece)
            after_word = is_word
        return "".join(out)


def segment_lines(
    lines: Iterable[Line], segmenter: Segmenter, *, batch_code_points: int = BATCH_CODE_POINTS
) -> Iterator[Segmented]:
    """Segment lines in their order; memory is that of one batch, or of one line if that is longer.

    Args:
        batch_code_points: Lines are taken together until they hold so many; 1 answers line by line.
    """
    batch: list[Line] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line.text) + 1
        if size >= batch_code_points:
            yield from _segment(batch, segmenter)
            batch, size = [], 0
    yield from _segment(batch, segmenter)


def _segment(batch: list[Line], segmenter: Segmenter) -> Iterator[Segmented]:
    cut = segmenter.cut([line.text for line in batch])
    for line, pieces in zip(batch, cut, strict=True):
        yield Segmented(line, pieces)
