"""The census: one reading of the texts that says which symbols there are, and how often each occurs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpkit.ngram import _kernel
from nlpkit.ngram.alphabet import NUM_CODE_POINTS, Alphabet, make_alphabet, pick
from nlpkit.ngram.shares import Progress, Share, cut_shares, no_progress, run_all, split_evenly

SHARE_BYTES = 1 << 23
THREAD_BYTES = 24 << 20  # tables of one thread, whatever the text
_AHEAD = 8  # symbols that the keys of a share need from the next one, at most


@dataclass(frozen=True, slots=True)
class Decoded:
    """The symbols of some shares in a row, before they have their numbers.

    Attributes:
        symbols: Those of each share and the first ones after it.
        owned: How many of them are the share's own.
        points: Its code points that are characters, and `point_counts` their counts.
        unit_numbers: From the units of the thread that decoded it to those of the census.
        unit_counts: Their counts.
    """

    symbols: list[NDArray[np.uint32]]
    owned: list[int]
    points: NDArray[np.uint32]
    point_counts: NDArray[np.uint64]
    unit_numbers: NDArray[np.uint32]
    unit_counts: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Census:
    """What a text is made of.

    Attributes:
        texts: The texts, as bytes.
        classes: Class of each code point.
        code_points: Code points of each share of `shares`.
        num_broken: Broken UTF-8 sequences.
        first_broken: Code-point offset of the first one over all texts, -1 if there is none.
        broken_at: Its text and its byte there.
        num_symbols: Symbols in all.
        decoded: The symbols themselves, where they were kept.
    """

    texts: Sequence[Any]
    classes: NDArray[np.uint8]
    shares: list[Share]
    code_points: list[int]
    num_broken: int
    first_broken: int
    broken_at: tuple[int, int] | None
    num_symbols: int
    point_counts: NDArray[np.uint64]
    units: tuple[bytearray, NDArray[np.uint64], NDArray[np.uint64]]
    decoded: list[Decoded]

    def alphabet(self, min_unit_count: int) -> Alphabet:
        """Number the symbols; units seen less often than `min_unit_count` stay breaks."""
        points = np.flatnonzero(self.point_counts).astype(np.uint32)
        blob, ends, counts = self.units
        chosen = np.flatnonzero(counts >= min_unit_count)
        units = pick(blob, ends, chosen)
        return make_alphabet(
            self.classes, points, self.point_counts[points], units, counts[chosen], self.num_symbols
        )


@dataclass(slots=True)
class _Tally:
    """One thread's part of a census."""

    kernel: _kernel.Alphabet
    code_points: list[int]
    broken: list[tuple[int, int, int]]  # share in this part, sequences, byte of the first
    symbols: list[NDArray[np.uint32]]
    owned: list[int]


def decode_share(
    kernel: _kernel.Alphabet, share: Share, counting: bool
) -> tuple[NDArray[np.uint32], int, tuple[int, int, int, int]]:
    """Symbols of a share with those just after it, how many are its own, and what was seen."""
    room = np.empty(share.end - share.start + _AHEAD, np.uint32)
    seen = _kernel.decode(kernel, share.data, share.start, share.end, room, None, counting)
    num = owned = seen[0]
    if owned and room[owned - 1]:
        num += _kernel.decode_ahead(kernel, share.data, share.end, _AHEAD, room[owned:])
    room.resize(num, refcheck=False)
    return room, owned, seen


def _tally(classes: NDArray[np.uint8], shares: list[Share], keep: bool) -> _Tally:
    tally = _Tally(_kernel.alphabet_new(classes), [], [], [], [])
    for number, share in enumerate(shares):
        symbols, owned, seen = decode_share(tally.kernel, share, True)
        tally.code_points.append(seen[1])
        if seen[2]:
            tally.broken.append((number, seen[2], seen[3]))
        if keep:
            tally.symbols.append(symbols)
            tally.owned.append(owned)
        else:
            share.forget()
    return tally


def _first_broken(shares: list[Share], code_points: list[int], broken: list[tuple[int, int, int]]) -> int:
    if not broken:
        return -1
    number, _, byte = broken[0]
    share = shares[number]
    return sum(code_points[:number]) + _kernel.code_points(share.data, share.start, byte)


def take_census(
    texts: Sequence[Any],
    classes: NDArray[np.uint8],
    *,
    threads: int = 1,
    memory_bytes: int = 1 << 62,
    progress: Progress = no_progress,
) -> Census:
    """Read the texts once and count their symbols.

    Args:
        texts: Bytes-like objects of UTF-8; broken sequences are breaks.
        classes: Class of each code point, shape (0x110000,).
        memory_bytes: Where the texts fit, their symbols are kept for `count`.

    Cost: about 1 GB/s and thread; 4 bytes of memory a symbol where they are kept.
    """
    shares = cut_shares(texts, SHARE_BYTES)
    keep = 5 * sum(map(len, texts)) + threads * THREAD_BYTES <= memory_bytes
    parts = split_evenly(shares, threads)
    tallies = run_all(
        lambda part: _tally(classes, part, keep),
        parts,
        threads=threads,
        progress=progress,
        stage="read",
    )
    point_counts = np.zeros(NUM_CODE_POINTS, np.uint64)
    whole = _kernel.alphabet_new(classes) if len(tallies) != 1 else tallies[0].kernel
    decoded: list[Decoded] = []
    code_points: list[int] = []
    broken: list[tuple[int, int, int]] = []
    for tally in tallies:
        points, counts = map(np.frombuffer, _kernel.alphabet_counts(tally.kernel), (np.uint32, np.uint64))
        point_counts[points] += counts
        blob, ends, unit_counts = _kernel.alphabet_units(tally.kernel)
        if tally.kernel is whole:
            numbers = np.arange(len(ends) // 8, dtype=np.uint32)
        else:
            numbers = np.frombuffer(_kernel.alphabet_add(whole, blob, ends, unit_counts), np.uint32)
        broken += [(number + len(code_points), num, byte) for number, num, byte in tally.broken]
        code_points += tally.code_points
        unit_numbers = np.frombuffer(unit_counts, np.uint64)
        decoded.append(Decoded(tally.symbols, tally.owned, points, counts, numbers, unit_numbers))
    blob, ends_bytes, counts_bytes = _kernel.alphabet_units(whole)
    units = (blob, np.frombuffer(ends_bytes, np.uint64), np.frombuffer(counts_bytes, np.uint64))
    return Census(
        texts,
        classes,
        shares,
        code_points,
        sum(num for _, num, _ in broken),
        _first_broken(shares, code_points, broken),
        (shares[broken[0][0]].text, broken[0][2]) if broken else None,
        int(point_counts.sum() + units[2].sum()),
        point_counts,
        units,
        decoded if keep else [],
    )
