"""The binding refuses what would reach outside its buffers; a mistake of ours must not be a crash."""

import numpy as np
import pytest

from nlpkit.ngram import _kernel
from nlpkit.ngram.alphabet import word_classes

DATA = "中文的a7 中文".encode()
POINTS = np.zeros(0x110000, np.uint32)


def u32(*values):
    return np.array(values, np.uint32)


def u64(*values):
    return np.array(values, np.uint64)


def run(starts=(0, 0, 2), sizes=(0, 2), keys=(0, 1), counts=(1, 1), bits=3, depth=3, wide=False):
    return u64(*starts), u64(*sizes), u64(*keys), u32(*counts), bits, depth, wide


@pytest.fixture(scope="module")
def open_alphabet():
    return _kernel.alphabet_new(word_classes())


@pytest.fixture(scope="module")
def alphabet():
    frozen = _kernel.alphabet_new(word_classes())
    points = POINTS.copy()
    points[[ord(c) for c in "中文的"]] = 1, 2, 3
    _kernel.alphabet_freeze(frozen, points, u32())
    return frozen


@pytest.fixture(scope="module")
def trie():
    return _kernel.trie_new(3, u32(1, 2, 3), u64(2, 3))


def zeros(num, kind=np.uint64):
    return np.zeros(num, kind)


def test_the_calls_below_are_right_but_for_what_they_break(alphabet, trie):
    end = len(DATA)
    assert _kernel.decode(alphabet, DATA, 0, end, zeros(end, np.uint32), None, False)[0] == 6
    assert _kernel.gram_counts(run(), u32(1, 1, 0, 1), u64(1, 4)) == u64(2, 1).tobytes()
    counts, places = zeros(2), np.full(2, 2**64 - 1, np.uint64)
    _kernel.match(alphabet, DATA, 0, end, trie, b"\1\1", counts, places, 1, 0)
    assert counts.tolist() == [2, 1]
    words, symbols = zeros(2), zeros(4)
    _kernel.cut(alphabet, DATA, 0, end, trie, 2, words, symbols)
    assert (words.tolist(), symbols.tolist()) == ([2, 0], [0, 0, 0, 1])
    grams = _kernel.grams(run(), 0, 2, 1, 1, b"\0\0", u64(0, 0), 4)
    assert grams == [(u32(1).tobytes(), u64(2).tobytes(), u64(22).tobytes())]  # 2 ln 2 in sixteenths


CALLS = {
    "classes": lambda o, a, t: _kernel.alphabet_new(b"\0" * 0x10FFFF),
    "points": lambda o, a, t: _kernel.alphabet_freeze(o, POINTS[1:], u32()),
    "no points": lambda o, a, t: _kernel.alphabet_freeze(o, None, u32()),
    "units end backwards": lambda o, a, t: _kernel.alphabet_add(o, b"abc", u64(2, 1), u64(1, 1)),
    "units end outside": lambda o, a, t: _kernel.alphabet_add(o, b"abc", u64(2, 4), u64(1, 1)),
    "units without a count": lambda o, a, t: _kernel.alphabet_add(o, b"abc", u64(2, 3), u64(1)),
    "range before": lambda o, a, t: _kernel.code_points(DATA, -1, 3),
    "range behind": lambda o, a, t: _kernel.code_points(DATA, 0, len(DATA) + 1),
    "range backwards": lambda o, a, t: _kernel.code_points(DATA, 4, 3),
    "place outside": lambda o, a, t: _kernel.code_points_at(DATA, 0, u64(99, 3), zeros(2)),
    "places backwards": lambda o, a, t: _kernel.code_points_at(DATA, 0, u64(6, 3), zeros(2)),
    "place before": lambda o, a, t: _kernel.code_points_at(DATA, 6, u64(3), zeros(1)),
    "no room for points": lambda o, a, t: _kernel.code_points_at(DATA, 0, u64(0, 3), zeros(1)),
    "decode range": lambda o, a, t: _kernel.decode(a, DATA, 0, 99, zeros(99, np.uint32), None, False),
    "decode symbols": lambda o, a, t: _kernel.decode(a, DATA, 0, 9, zeros(8, np.uint32), None, False),
    "decode offsets": lambda o, a, t: _kernel.decode(
        a, DATA, 0, 9, zeros(9, np.uint32), zeros(8, np.uint32), True
    ),
    "ahead negative": lambda o, a, t: _kernel.decode_ahead(a, DATA, 0, -1, zeros(9, np.uint32)),
    "ahead": lambda o, a, t: _kernel.decode_ahead(a, DATA, 0, 3, zeros(2, np.uint32)),
    "histogram": lambda o, a, t: _kernel.histogram(u32(1), 2, None, None, zeros(4)),
    "histogram negative": lambda o, a, t: _kernel.histogram(u32(1), -1, None, None, zeros(4)),
    "histogram points": lambda o, a, t: _kernel.histogram(u32(1), 1, POINTS[1:], u32(), zeros(4)),
    "histogram half": lambda o, a, t: _kernel.histogram(u32(1), 1, POINTS, None, zeros(4)),
    "scatter": lambda o, a, t: _kernel.scatter(u32(1), 1, 2, None, None, 3, 3, False, zeros(4), zeros(4)),
    "scatter owned": lambda o, a, t: _kernel.scatter(
        u32(1), 2, 1, None, None, 3, 3, False, zeros(4), zeros(4)
    ),
    "scatter negative": lambda o, a, t: _kernel.scatter(
        u32(1), -1, 1, None, None, 3, 3, False, zeros(4), zeros(4)
    ),
    "scatter half": lambda o, a, t: _kernel.scatter(
        u32(1), 1, 1, None, u32(), 3, 3, False, zeros(4), zeros(4)
    ),
    "scatter form": lambda o, a, t: _kernel.scatter(
        u32(1), 1, 1, None, None, 33, 3, False, zeros(4), zeros(4)
    ),
    "sort starts": lambda o, a, t: _kernel.sort(zeros(2), u32(0, 0), u64(0, 2), zeros(2), 0, 2, 3, 3, False),
    "sort sizes": lambda o, a, t: _kernel.sort(
        zeros(2), u32(0, 0), u64(0, 2, 2), zeros(1), 0, 2, 3, 3, False
    ),
    "sort keys": lambda o, a, t: _kernel.sort(zeros(1), u32(0, 0), u64(0, 2), zeros(1), 0, 1, 3, 3, False),
    "sort wide keys": lambda o, a, t: _kernel.sort(
        zeros(2), u32(0, 0), u64(0, 2), zeros(1), 0, 1, 3, 3, True
    ),
    "sort counts": lambda o, a, t: _kernel.sort(zeros(2), u32(0), u64(0, 2), zeros(1), 0, 1, 3, 3, False),
    "sort backwards": lambda o, a, t: _kernel.sort(
        zeros(2), u32(0, 0), u64(9, 2), zeros(1), 0, 1, 3, 3, False
    ),
    "sort form": lambda o, a, t: _kernel.sort(zeros(2), u32(0, 0), u64(0, 2), zeros(1), 0, 1, 22, 4, False),
    "run counts": lambda o, a, t: _kernel.gram_counts(run(counts=(1,)), u32(1), u64(1)),
    "run keys": lambda o, a, t: _kernel.gram_counts(run(keys=(1,)), u32(1), u64(1)),
    "run wide keys": lambda o, a, t: _kernel.gram_counts(run(wide=True), u32(1), u64(1)),
    "run starts": lambda o, a, t: _kernel.gram_counts(run(starts=(0, 0)), u32(1), u64(1)),
    "run sizes": lambda o, a, t: _kernel.gram_counts(run(sizes=(0, 3)), u32(1), u64(1)),
    "run sizes wrap": lambda o, a, t: _kernel.gram_counts(
        run(starts=(0, 1, 2), sizes=(0, 2**64 - 1)), u32(1), u64(1)
    ),
    "run depth": lambda o, a, t: _kernel.gram_counts(run(depth=10), u32(1), u64(1)),
    "run flat": lambda o, a, t: _kernel.gram_counts(run(depth=1), u32(1), u64(1)),
    "run bits": lambda o, a, t: _kernel.gram_counts(run(bits=0), u32(1), u64(1)),
    "run form": lambda o, a, t: _kernel.gram_counts(run(bits=32, depth=4), u32(1), u64(1)),
    "gram ends": lambda o, a, t: _kernel.gram_counts(run(), u32(1), u64(9, 1)),
    "gram end": lambda o, a, t: _kernel.gram_counts(run(), u32(1), u64(2)),
    "grams buckets": lambda o, a, t: _kernel.grams(run(), 0, 3, 1, 1, b"\0\0\0", u64(0), 4),
    "grams rare": lambda o, a, t: _kernel.grams(run(), 0, 1, 1, 1, b"\0", u64(0), 4),
    "grams order": lambda o, a, t: _kernel.grams(run(), 0, 2, 4, 1, b"\0\0", u64(0), 4),
    "grams no order": lambda o, a, t: _kernel.grams(run(), 0, 2, 0, 1, b"\0\0", u64(0), 4),
    "grams table": lambda o, a, t: _kernel.grams(run(), 0, 2, 1, 1, b"\0\0", u64(), 4),
    "lefts words": lambda o, a, t: _kernel.lefts(run(), 0, 2, t, b"\0\0", u64(0), 4, zeros(1), zeros(1)),
    "lefts seen": lambda o, a, t: _kernel.lefts(run(), 0, 2, t, b"\0\0", u64(0), 4, zeros(2), zeros(1)),
    "lefts trie": lambda o, a, t: _kernel.lefts(
        run(starts=[0] * 6, sizes=[0] * 5), 0, 2, t, b"\0" * 5, u64(0), 4, zeros(2), zeros(2)
    ),
    "merge nothing": lambda o, a, t: _kernel.merge([], 0, 2, zeros(2), zeros(4), u32(0, 0)),
    "merge many": lambda o, a, t: _kernel.merge([run()] * 9, 0, 2, zeros(2), zeros(18), u32(*range(18))),
    "merge room": lambda o, a, t: _kernel.merge([run(), run()], 0, 2, zeros(2), zeros(3), u32(0, 0, 0)),
    "merge keys": lambda o, a, t: _kernel.merge([run()], 0, 2, zeros(2), zeros(1), u32(0, 0)),
    "merge sizes": lambda o, a, t: _kernel.merge([run()], 0, 2, zeros(1), zeros(2), u32(0, 0)),
    "merge forms": lambda o, a, t: _kernel.merge([run(), run(bits=4)], 0, 2, zeros(2), zeros(4), zeros(4)),
    "merge buckets": lambda o, a, t: _kernel.merge([run()], 0, 3, zeros(3), zeros(4), u32(0, 0)),
    "remap symbols": lambda o, a, t: _kernel.remap(run(), u32(0), 3, False, zeros(2)),
    "remap keys": lambda o, a, t: _kernel.remap(run(), u32(0, 1), 3, False, zeros(1)),
    "remap form": lambda o, a, t: _kernel.remap(run(), u32(0, 1), 33, False, zeros(2)),
    "remap no bits": lambda o, a, t: _kernel.remap(run(), u32(0, 1), -1, False, zeros(2)),
    "remap symbol": lambda o, a, t: _kernel.remap(run(keys=(0, 2)), u32(0, 1), 3, False, zeros(2)),
    "trie symbol": lambda o, a, t: _kernel.trie_new(3, u32(4), u64(1)),
    "trie break": lambda o, a, t: _kernel.trie_new(3, u32(0), u64(1)),
    "trie end": lambda o, a, t: _kernel.trie_new(3, u32(1), u64(2)),
    "trie ends": lambda o, a, t: _kernel.trie_new(3, u32(1), u64(5, 1)),
    "find ends": lambda o, a, t: _kernel.trie_find(t, u32(1), u64(5, 1)),
    "cut words": lambda o, a, t: _kernel.cut(a, DATA, 0, 9, t, 2, zeros(1), zeros(4)),
    "cut symbols": lambda o, a, t: _kernel.cut(a, DATA, 0, 9, t, 2, zeros(2), zeros(3)),
    "cut range": lambda o, a, t: _kernel.cut(a, DATA, 0, 99, t, 2, zeros(2), zeros(4)),
    "cut order": lambda o, a, t: _kernel.cut(a, DATA, 0, 9, t, 0, zeros(2), zeros(4)),
    "cut open": lambda o, a, t: _kernel.cut(o, DATA, 0, 9, t, 2, zeros(2), zeros(4)),
    "match wanted": lambda o, a, t: _kernel.match(a, DATA, 0, 9, t, b"\1", zeros(2), zeros(2), 0, 0),
    "match counts": lambda o, a, t: _kernel.match(a, DATA, 0, 9, t, b"\1\1", zeros(1), zeros(2), 0, 0),
    "match places": lambda o, a, t: _kernel.match(a, DATA, 0, 9, t, b"\1\1", zeros(2), zeros(3), 2, 0),
    "match negative": lambda o, a, t: _kernel.match(a, DATA, 0, 9, t, b"\1\1", zeros(2), zeros(2), -1, 0),
    "match open": lambda o, a, t: _kernel.match(o, DATA, 0, 9, t, b"\1\1", zeros(2), zeros(2), 0, 0),
    "mark words": lambda o, a, t: _kernel.mark(a, DATA, t, bytearray(1)),
    "mark open": lambda o, a, t: _kernel.mark(o, DATA, t, bytearray(2)),
    "other trie": lambda o, a, t: _kernel.mark(a, DATA, _kernel.trie_new(2, u32(1), u64(1)), bytearray(1)),
    "not aligned": lambda o, a, t: _kernel.gram_counts(run(), u32(1), memoryview(bytearray(9))[1:]),
    "read only": lambda o, a, t: _kernel.mark(a, DATA, t, b"\0\0"),
    "no alphabet": lambda o, a, t: _kernel.alphabet_units(t),
}


@pytest.mark.parametrize("name", CALLS)
def test_refuses(name, open_alphabet, alphabet, trie):
    with pytest.raises((ValueError, TypeError, BufferError)):
        CALLS[name](open_alphabet, alphabet, trie)


def test_an_empty_unit_is_a_unit(open_alphabet):
    alphabet = _kernel.alphabet_new(word_classes())
    numbers = _kernel.alphabet_add(alphabet, b"ab", u64(0, 2, 2), u64(3, 4, 5))
    assert np.frombuffer(numbers, np.uint32).tolist() == [0, 1, 0]
    assert np.frombuffer(_kernel.alphabet_units(alphabet)[2], np.uint64).tolist() == [8, 4]
