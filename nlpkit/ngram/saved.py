"""Saved counts: a run and its symbols in one file, and the merging of several."""

from __future__ import annotations

import json
import mmap
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from nlpkit.errors import InputError
from nlpkit.ngram import _kernel
from nlpkit.ngram.alphabet import Alphabet, make_alphabet
from nlpkit.ngram.grams import word_ends
from nlpkit.ngram.passes import Words
from nlpkit.ngram.places import NOWHERE
from nlpkit.ngram.runs import Run, RunStore, ends_of, key_layout, key_type

MAGIC = b"nlpkit n-gram counts 1\n"
_ALIGNMENT = 64
_LINE_BYTES = 26  # where the arrays start, 16 digits, and a checksum, 8 hexadecimal ones


@dataclass(frozen=True, slots=True)
class Counted:
    """The counted grams of some text, with the symbols they are made of."""

    alphabet: Alphabet
    run: Run


@dataclass(frozen=True, slots=True)
class Saved:
    """Counts read from a file: symbols without a kernel, grams where the file has them.

    Attributes:
        names: Text of each symbol; names[0] is "".
        symbol_counts: Occurrences of each symbol.
        num_characters: Symbols 1 .. num_characters are single characters, the rest units.
        num_all_symbols: Symbols of the text.
        classes: Checksum of the classes of code points that were counted.
    """

    names: list[str]
    symbol_counts: NDArray[np.uint64]
    num_characters: int
    num_all_symbols: int
    classes: int
    run: Run


def is_saved_counts(data: Any) -> bool:
    """Tell whether bytes are a file of saved counts."""
    return bytes(data[: len(MAGIC)]) == MAGIC


def check_same(saved: Saved, classes: NDArray[np.uint8], depth: int | None, name: str) -> None:
    """Make sure that counts were counted like others.

    Args:
        classes: Classes of code points of the others.
        depth: Their depth, None where it does not matter.
        name: What to call the file in the message.

    Raises:
        InputError: They count other symbols, or n-grams of another order.
    """
    if saved.classes != zlib.crc32(classes.data):
        raise InputError(
            f"{name}: other symbols were counted", hint="--method and --split-latin must be those of the file"
        )
    if depth is not None and saved.run.depth != depth:
        raise InputError(
            f"{name}: n-grams of another order were counted", hint=f"use --max-order {saved.run.depth - 1}"
        )


def save_counts(counted: Counted, file: IO[bytes]) -> None:
    """Write counts to a binary file.

    A line of magic; a line with the place of the arrays and the CRC-32 of all that follows; a header of
    JSON, blanks, then the arrays: sizes, keys, counts. The run is packed on the way.
    """
    alphabet, run = counted.alphabet, counted.run
    run.pack()
    arrays = [
        run.sizes.view(np.uint8).data,
        run.keys.view(np.uint8).data,
        run.counts.view(np.uint8).data,
    ]
    header = json.dumps(
        {
            "names": alphabet.names,
            "symbol_counts": alphabet.counts.tolist(),
            "num_characters": alphabet.num_characters,
            "num_all_symbols": alphabet.num_all_symbols,
            "classes": zlib.crc32(alphabet.classes.data),
            "depth": run.depth,
        },
        ensure_ascii=False,
    ).encode()
    place = len(MAGIC) + _LINE_BYTES
    start = -(-(place + len(header)) // _ALIGNMENT) * _ALIGNMENT
    parts: list[bytes | memoryview] = [header.ljust(start - place), *arrays]
    check = 0
    for part in parts:
        check = zlib.crc32(part, check)
    file.write(MAGIC + _line(start, check))
    for part in parts:
        file.write(part)


def _line(start: int, check: int) -> bytes:
    return f"{start:016d} {check:08x}\n".encode()


def load_counts(path: Path) -> Saved:
    """Map a file of saved counts.

    Raises:
        InputError: The file is missing, unreadable, damaged, or no file of saved counts.
    """
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the file is empty"
        raise InputError(f"{path}: {reason}", hint="write one with --save-counts") from None
    if not is_saved_counts(data):
        raise InputError(f"{path}: these are no saved counts", hint="write some with --save-counts")
    try:
        return _read(data)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        raise InputError(
            f"{path}: the saved counts are damaged", hint="write them again with --save-counts"
        ) from None


def _read(data: mmap.mmap) -> Saved:
    place = len(MAGIC) + _LINE_BYTES
    start = int(data[len(MAGIC) : len(MAGIC) + 16])
    with memoryview(data) as view, view[place:] as rest:
        if data[len(MAGIC) : place] != _line(start, zlib.crc32(rest)):
            raise ValueError("checksum")
    header = json.loads(data[place:start])
    names, num_characters, depth = header["names"], int(header["num_characters"]), int(header["depth"])
    _check_names(names[1 : num_characters + 1], names[num_characters + 1 :])
    bits, wide = key_layout(len(names) - 1, depth)
    sizes = np.frombuffer(data, np.uint64, len(names), start)
    if sizes.max() > len(data):  # whose sum could wrap around
        raise ValueError("sizes")
    num = int(sizes.sum())
    keys = np.frombuffer(data, key_type(wide), num, start + sizes.nbytes)
    counts = np.frombuffer(data, np.uint32, num, start + sizes.nbytes + keys.nbytes)
    run = Run(ends_of(sizes), sizes, keys, counts, bits, depth, wide, (data,))
    run.forget()  # the checksum looked at every page
    symbol_counts = np.array(header["symbol_counts"], np.uint64)
    if len(symbol_counts) != len(names):
        raise ValueError("symbol counts")
    return Saved(
        names,
        symbol_counts,
        num_characters,
        int(header["num_all_symbols"]),
        int(header["classes"]),
        run,
    )


def _check_names(characters: list[str], units: list[str]) -> None:
    """Raise ValueError or TypeError unless the symbols stand in the order that their keys need."""
    if any(len(name) != 1 for name in characters):
        raise ValueError("a character of several code points")
    columns = [name.encode() for name in characters], [unit.encode() for unit in units]
    if any(one >= other for column in columns for one, other in pairwise(column)):
        raise ValueError("symbols out of order")


def _united(parts: Sequence[Saved | Alphabet], classes: NDArray[np.uint8]) -> Alphabet:
    """One alphabet of all symbols of the parts."""
    totals: dict[tuple[bool, str], int] = {}
    num_all_symbols = 0
    for part in parts:
        numbers = part.counts if isinstance(part, Alphabet) else part.symbol_counts
        num_all_symbols += part.num_all_symbols
        for symbol, (name, number) in enumerate(zip(part.names[1:], numbers[1:].tolist(), strict=True), 1):
            key = (symbol > part.num_characters, name)
            totals[key] = totals.get(key, 0) + number
    characters = sorted(name for is_unit, name in totals if not is_unit)
    units = [name for is_unit, name in totals if is_unit]
    return make_alphabet(
        classes,
        np.array([ord(name) for name in characters], np.uint32),
        np.array([totals[False, name] for name in characters], np.uint64),
        [unit.encode() for unit in units],
        np.array([totals[True, unit] for unit in units], np.uint64),
        num_all_symbols,
    )


def merge_counts(
    text: Counted | None,
    saved: Sequence[Saved],
    classes: NDArray[np.uint8],
    *,
    store: Callable[[], RunStore],
    memory_bytes: int,
) -> Counted:
    """Add up the counts of texts and of files; they have the same depth.

    Raises:
        InputError: The grams of all their symbols do not fit in 128 bits.
        InputError: A key in a file has a symbol that the file does not name.
        OutputError: The disk is full.
    """
    alphabets: list[Saved | Alphabet] = [*saved] if text is None else [text.alphabet, *saved]
    runs = [part.run for part in saved] if text is None else [text.run, *[part.run for part in saved]]
    whole = _united(alphabets, classes)
    runs_on_disk = store()
    for part, run in zip(alphabets, runs, strict=True):
        runs_on_disk.add(_renumber(run, part.names, part.num_characters, whole))
    return Counted(whole, runs_on_disk.merged(memory_bytes))


def occurrences_in(saved: Saved, words: Words, names: list[str], num_characters: int) -> NDArray[np.uint64]:
    """Occurrences of words, whose symbols have these names, in saved counts.

    Of a word longer than the counted grams: those of its rarest window, which is an upper bound.
    """
    number_of = {(symbol > saved.num_characters, name): symbol for symbol, name in enumerate(saved.names)}
    absent = len(saved.names)
    new = np.array(
        [number_of.get((symbol > num_characters, name), absent) for symbol, name in enumerate(names)]
    )
    least = np.full(len(words), NOWHERE, np.uint64)
    lengths, starts = words.lengths, words.starts.astype(np.int64)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        window = min(length, saved.run.depth)
        for shift in range(length - window + 1):
            symbols = new[words.symbols[starts[rows][:, None] + np.arange(shift, shift + window)]]
            known = (symbols != absent).all(axis=1)
            counts = np.zeros(len(rows), np.uint64)
            grams = symbols[known].astype(np.uint32)
            found = _kernel.gram_counts(saved.run.kernel, grams, word_ends(len(grams), window))
            counts[known] = np.frombuffer(found, np.uint64)
            least[rows] = np.minimum(least[rows], counts)
    return least


def _renumber(run: Run, names: list[str], num_characters: int, whole: Alphabet) -> Run:
    """The run with the symbols of a larger alphabet; their order, and so that of the keys, stays."""
    number_of = {(symbol > whole.num_characters, name): symbol for symbol, name in enumerate(whole.names)}
    new = np.array([number_of[symbol > num_characters, name] for symbol, name in enumerate(names)], np.uint32)
    bits, wide = key_layout(whole.size, run.depth)
    run.pack()
    keys = np.empty(len(run.keys), key_type(wide))
    try:
        _kernel.remap(run.kernel, new, bits, wide, keys)
    except ValueError as error:
        raise InputError(
            f"saved counts are damaged: {error}", hint="write them again with --save-counts"
        ) from None
    run.forget()
    sizes = np.zeros(whole.size + 1, np.uint64)
    sizes[new] = run.sizes
    return Run(ends_of(sizes), sizes, keys, run.counts, bits, run.depth, wide, run.maps)
