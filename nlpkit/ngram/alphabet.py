"""Symbols: what is counted. A character is one, a run of Latin letters and digits (a unit) is one too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nlpkit.ngram import _kernel

NUM_CODE_POINTS = 0x110000
BREAK, CHARACTER, UNIT_PART = 0, 1, 2  # classes of code points, as in kernel.h

# Letters of scripts that are written without spaces count one by one.
_CHARACTERS = (
    (0x0E01, 0x0E4E),  # Thai
    (0x0E81, 0x0EDF),  # Lao
    (0x0F40, 0x0FBC),  # Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17D3),  # Khmer
    (0x2E80, 0x2FD5),  # radicals
    (0x3005, 0x3007),  # 々〆〇
    (0x3021, 0x3029),  # Hangzhou numerals
    (0x3041, 0x3096),  # hiragana
    (0x309D, 0x309F),
    (0x30A1, 0x30FA),  # katakana
    (0x30FC, 0x30FF),
    (0x3105, 0x318E),  # bopomofo, hangul letters
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0x9FFF),  # Han
    (0xA000, 0xA48C),  # Yi
    (0xAC00, 0xD7A3),  # hangul
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFF9F),  # half-width katakana
    (0x16FE0, 0x18DFF),  # Tangut, Khitan
    (0x1B000, 0x1B2FF),  # historic kana, Nüshu
    (0x20000, 0x3FFFD),  # Han, extensions B and later
)
# Letters and digits of scripts that are written with spaces make units.
_UNIT_PARTS = (
    (0x30, 0x39),
    (0x41, 0x5A),
    (0x61, 0x7A),
    (0xC0, 0xD6),  # Latin with accents
    (0xD8, 0xF6),
    (0xF8, 0x2AF),
    (0x300, 0x373),  # combining accents, Greek
    (0x376, 0x377),
    (0x37B, 0x37D),
    (0x386, 0x386),
    (0x388, 0x52F),  # Greek, Cyrillic
    (0x531, 0x556),  # Armenian
    (0x561, 0x587),
    (0x5D0, 0x5EA),  # Hebrew
    (0x620, 0x669),  # Arabic
    (0x66E, 0x6D3),
    (0x900, 0x963),  # Devanagari and the other scripts of India
    (0x966, 0xDFF),
    (0x10A0, 0x10FF),  # Georgian
    (0x1200, 0x135A),  # Ethiopic
    (0x1810, 0x18AA),  # Mongolian
    (0x1E00, 0x1FFF),  # more Latin and Greek
    (0xFF10, 0xFF19),  # full-width digits and letters
    (0xFF21, 0xFF3A),
    (0xFF41, 0xFF5A),
)
_SEED = ((0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A), (0x4E00, 0x9FA5))


def _classes(
    characters: tuple[tuple[int, int], ...], unit_parts: tuple[tuple[int, int], ...]
) -> NDArray[np.uint8]:
    classes = np.zeros(NUM_CODE_POINTS, np.uint8)
    for ranges, kind in ((characters, CHARACTER), (unit_parts, UNIT_PART)):
        for first, last in ranges:
            classes[first : last + 1] = kind
    return classes


def word_classes(*, split_latin: bool = False) -> NDArray[np.uint8]:
    """Classes for words of any script: Han, kana and hangul one by one, Latin and digit runs as units.

    Args:
        split_latin: Count Latin letters and digits one by one too.

    Returns:
        BREAK, CHARACTER or UNIT_PART by code point, shape (0x110000,).
    """
    return _classes(_CHARACTERS + _UNIT_PARTS, ()) if split_latin else _classes(_CHARACTERS, _UNIT_PARTS)


def seed_classes() -> NDArray[np.uint8]:
    """Classes of the seed algorithm: U+4E00–U+9FA5, ASCII letters and digits one by one; the rest breaks."""
    return _classes(_SEED, ())


@dataclass(frozen=True, slots=True)
class Alphabet:
    """The symbols of a corpus, numbered from 1 by code point, units after the characters by their bytes.

    Attributes:
        names: The text of each symbol; names[0] is "", the break.
        counts: Occurrences of each symbol, shape (len(names),); counts[0] is 0.
        num_characters: How many symbols are single characters: 1 .. num_characters.
        num_all_symbols: Symbols in the text, those of units too rare to be numbered included.
        classes: Class of each code point, shape (0x110000,).
        kernel: The frozen alphabet of the kernel, which turns bytes into these symbols.
    """

    names: list[str]
    counts: NDArray[np.uint64]
    num_characters: int
    num_all_symbols: int
    classes: NDArray[np.uint8]
    kernel: _kernel.Alphabet

    @property
    def size(self) -> int:
        """Largest symbol."""
        return len(self.names) - 1


def pick(blob: bytes | bytearray, ends: NDArray[np.uint64], rows: NDArray[np.int64]) -> list[bytes]:
    """Some of the strings that stand in a blob end to end, string i before ends[i]."""
    starts = np.concatenate([np.zeros(1, np.uint64), ends])[rows]
    return [bytes(blob[start:end]) for start, end in zip(starts.tolist(), ends[rows].tolist(), strict=True)]


def join(strings: list[bytes]) -> tuple[bytes, NDArray[np.uint64]]:
    """Lay strings end to end; also where each ends."""
    ends = np.cumsum([len(string) for string in strings], dtype=np.uint64)
    return b"".join(strings), ends


def make_alphabet(
    classes: NDArray[np.uint8],
    points: NDArray[np.uint32],
    point_counts: NDArray[np.uint64],
    units: list[bytes],
    unit_counts: NDArray[np.uint64],
    num_all_symbols: int,
) -> Alphabet:
    """Number the symbols and freeze them into an alphabet of the kernel.

    Args:
        classes: Class of each code point.
        points: The characters, ascending.
        point_counts: Their counts.
        units: The units, in any order.
        unit_counts: Their counts.
        num_all_symbols: See `Alphabet`.
    """
    order = sorted(range(len(units)), key=units.__getitem__)
    ordered = [units[number] for number in order]
    names = ["", *map(chr, points.tolist()), *[unit.decode("utf-8") for unit in ordered]]
    counts = np.concatenate([np.zeros(1, np.uint64), point_counts, unit_counts[order]]).astype(np.uint64)
    point_symbols = np.zeros(NUM_CODE_POINTS, np.uint32)
    point_symbols[points] = np.arange(1, len(points) + 1, dtype=np.uint32)
    kernel = _kernel.alphabet_new(classes)
    blob, ends = join(ordered)
    _kernel.alphabet_add(kernel, blob, ends, np.zeros(len(ordered), np.uint64))
    unit_symbols = np.arange(len(ordered), dtype=np.uint32) + np.uint32(len(points) + 1)
    _kernel.alphabet_freeze(kernel, point_symbols, unit_symbols)
    return Alphabet(names, counts, len(points), num_all_symbols, classes, kernel)
