"""Types of the C kernel; what each function does is said in kernel.h."""

import mmap
from typing import Any, NewType

from numpy.typing import NDArray

Buffer = bytes | bytearray | memoryview | mmap.mmap | NDArray[Any]
Alphabet = NewType("Alphabet", object)
Trie = NewType("Trie", object)
Run = tuple[Any, Any, Any, Any, int, int, bool]

def alphabet_new(classes: Buffer, /) -> Alphabet: ...
def alphabet_add(alphabet: Alphabet, blob: Buffer, ends: Buffer, counts: Buffer, /) -> bytearray: ...
def alphabet_units(alphabet: Alphabet, /) -> tuple[bytearray, bytearray, bytearray]: ...
def alphabet_counts(alphabet: Alphabet, /) -> tuple[bytearray, bytearray]: ...
def alphabet_freeze(alphabet: Alphabet, point_symbols: Buffer, unit_symbols: Buffer, /) -> None: ...
def boundary(data: Buffer, at: int, /) -> int: ...
def code_points(data: Buffer, start: int, end: int, /) -> int: ...
def code_points_at(data: Buffer, start: int, bytes: Buffer, points: Buffer, /) -> None: ...
def decode(
    alphabet: Alphabet,
    data: Buffer,
    start: int,
    end: int,
    symbols: Buffer,
    offsets: Buffer | None,
    counting: bool,
    /,
) -> tuple[int, int, int, int]: ...
def decode_ahead(alphabet: Alphabet, data: Buffer, start: int, most: int, symbols: Buffer, /) -> int: ...
def histogram(
    symbols: Buffer,
    num: int,
    point_symbols: Buffer | None,
    unit_symbols: Buffer | None,
    histogram: Buffer,
    /,
) -> None: ...
def scatter(
    symbols: Buffer,
    owned: int,
    num: int,
    point_symbols: Buffer | None,
    unit_symbols: Buffer | None,
    bits: int,
    depth: int,
    wide: bool,
    cursors: Buffer,
    keys: Buffer,
    /,
) -> None: ...
def sort(
    keys: Buffer,
    counts: Buffer,
    starts: Buffer,
    sizes: Buffer,
    first: int,
    last: int,
    bits: int,
    depth: int,
    wide: bool,
    /,
) -> None: ...
def grams(
    run: Run,
    first: int,
    last: int,
    order: int,
    min_count: int,
    rare: Buffer,
    table: Buffer,
    shift: int,
    /,
) -> list[tuple[bytearray, bytearray, bytearray]]: ...
def lefts(
    run: Run,
    first: int,
    last: int,
    trie: Trie,
    rare: Buffer,
    table: Buffer,
    shift: int,
    left: Buffer,
    seen: Buffer,
    /,
) -> None: ...
def merge(runs: list[Run], first: int, last: int, sizes: Buffer, keys: Buffer, counts: Buffer, /) -> None: ...
def gram_counts(run: Run, symbols: Buffer, ends: Buffer, /) -> bytearray: ...
def remap(run: Run, new_symbols: Buffer, bits: int, wide: bool, keys: Buffer, /) -> None: ...
def trie_new(num_symbols: int, symbols: Buffer, ends: Buffer, /) -> Trie: ...
def trie_find(trie: Trie, symbols: Buffer, ends: Buffer, /) -> bytearray: ...
def cut(
    alphabet: Alphabet,
    data: Buffer,
    start: int,
    end: int,
    trie: Trie,
    max_order: int,
    word_counts: Buffer,
    symbol_counts: Buffer,
    /,
) -> tuple[bytearray, bytearray, bytearray]: ...
def match(
    alphabet: Alphabet,
    data: Buffer,
    start: int,
    end: int,
    trie: Trie,
    wanted: Buffer,
    counts: Buffer,
    places: Buffer,
    num_places: int,
    base: int,
    /,
) -> bytearray: ...
def connect(trie: Trie, symbols: Buffer, /) -> bytearray: ...
def mark(alphabet: Alphabet, data: Buffer, trie: Trie, marks: Buffer, /) -> None: ...
