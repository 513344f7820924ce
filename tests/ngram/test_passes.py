"""Passes over the text: every occurrence of words, and the longest connection."""

from collections import Counter
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpkit.ngram import _kernel
from nlpkit.ngram.alphabet import UNIT_PART, word_classes
from nlpkit.ngram.passes import (
    Words,
    concatenate,
    cut_by_connection,
    find_occurrences,
)
from nlpkit.ngram.places import NOWHERE, code_point_offsets, locate
from nlpkit.ngram.reference import count_grams, longest_connection, symbol_runs

CLASSES = word_classes()
SHARES = st.sampled_from([1, 2, 3, 5, 9, 64, 200, 1 << 20])


def as_words(grams, alphabet):
    """Words of tuples of names."""
    number = {name: symbol for symbol, name in enumerate(alphabet.names)}
    symbols = [number[name] for gram in grams for name in gram]
    ends = np.cumsum([len(gram) for gram in grams], dtype=np.uint64)
    return Words(np.array(symbols, np.uint32), ends)


def all_places(text, word):
    """Code-point offsets of a word, overlapping ones too."""
    place, found = text.find(word), []
    while place >= 0:
        found.append(place)
        place = text.find(word, place + 1)
    return found


def drawn_words(data, corpus, longest):
    """Some grams of the texts, and perhaps one that is not there."""
    grams = sorted(count_grams(corpus, CLASSES, longest))
    return data.draw(st.lists(st.sampled_from(grams), max_size=8, unique=True), "words") if grams else []


@settings(max_examples=100)
@given(data=st.data())
def test_occurrences_are_those_that_str_finds(data, texts, characters, census):
    corpus = data.draw(texts, "texts")
    text = "".join(part.decode("utf-8", "replace") for part in corpus)
    found = census(corpus, CLASSES, data.draw(SHARES, "share_bytes"))
    alphabet = found.alphabet(1)
    grams = [
        gram for gram in drawn_words(data, corpus, 64) if all(CLASSES[ord(c[0])] != UNIT_PART for c in gram)
    ]
    joined = ["".join(gram) for gram in grams]
    wanted = data.draw(st.lists(st.booleans(), min_size=len(grams), max_size=len(grams)), "wanted")
    rare = np.zeros(alphabet.size + 1, bool)
    threads = data.draw(st.integers(1, 3), "threads")
    got = find_occurrences(
        found.shares,
        alphabet,
        as_words(grams, alphabet),
        np.array(wanted, bool),
        rare,
        num_places=3,
        threads=threads,
    )
    # A word over the seam of two texts is none.
    seams = np.cumsum([len(part.decode("utf-8", "replace")) for part in corpus]).tolist()
    places = [
        [
            place
            for place in all_places(text, word)
            if not any(place < seam < place + len(word) for seam in seams)
        ]
        for word in joined
    ]
    assert got.counts.tolist() == [
        len(some) if want else 0 for some, want in zip(places, wanted, strict=True)
    ]
    there = got.places[got.places != NOWHERE]
    points = code_point_offsets(found.shares, found.code_points, there, threads=threads)
    assert points.tolist() == [place for some in places for place in some[:3]]
    assert (got.places != NOWHERE).sum(axis=1).tolist() == [min(len(some), 3) for some in places]


@settings(max_examples=80)
@given(data=st.data())
def test_neighbours_of_words_with_units_give_their_entropies(data, texts, census):
    corpus = data.draw(texts, "texts")
    found = census(corpus, CLASSES, data.draw(SHARES, "share_bytes"))
    alphabet = found.alphabet(1)
    grams = drawn_words(data, corpus, 9)
    chance = (
        data.draw(st.lists(st.sampled_from(alphabet.names[1:]), unique=True), "rare") if alphabet.size else []
    )
    rare = np.array([name in chance for name in alphabet.names])
    rare[: alphabet.num_characters + 1] = False
    got = find_occurrences(
        found.shares, alphabet, as_words(grams, alphabet), np.ones(len(grams), bool), rare, threads=2
    )
    beside = [(Counter(), Counter()) for _ in grams]
    for text in corpus:
        for run in symbol_runs(text, CLASSES):
            run = ["", *run, ""]
            for start in range(1, len(run)):
                for gram, (left, right) in zip(grams, beside, strict=True):
                    end = start + len(gram)
                    if tuple(run[start:end]) == gram:
                        left["" if rare[alphabet.names.index(run[start - 1])] else run[start - 1]] += 1
                        right["" if rare[alphabet.names.index(run[end])] else run[end]] += 1
    assert got.counts.tolist() == [left.total() for left, _ in beside]
    for row, sides in enumerate(beside):
        for side, entropy in zip(sides, (got.left_entropy[row], got.right_entropy[row]), strict=True):
            expected = -sum(n / side.total() * log(n / side.total()) for n in side.values())
            assert entropy == pytest.approx(expected, abs=1e-9)


def check_cutting(corpus, kept, max_order, found, threads=1):
    """The pieces are those of the slow twin, as far as they may be words."""
    alphabet = found.alphabet(1)
    got = cut_by_connection(found.shares, alphabet, as_words(kept, alphabet), max_order, threads=threads)
    pieces: Counter[tuple[str, ...]] = Counter()
    for text in corpus:
        pieces += longest_connection(symbol_runs(text, CLASSES), set(kept))
    assert got.kept_counts.tolist() == [pieces[gram] for gram in kept]
    single = {alphabet.names[symbol]: int(n) for symbol, n in enumerate(got.symbol_counts) if n}
    assert single == {gram[0]: n for gram, n in pieces.items() if len(gram) == 1}
    names = [alphabet.names[symbol] for symbol in got.longer.symbols]
    starts = [*got.longer.starts.tolist(), len(names)]
    longer = {
        tuple(names[start:end]): int(n)
        for start, end, n in zip(starts, starts[1:], got.longer_counts, strict=False)
    }
    assert longer == {
        gram: n
        for gram, n in pieces.items()
        if max_order < len(gram) <= 64
        and all(gram[i : i + max_order] in kept for i in range(len(gram) - max_order + 1))
    }


@settings(max_examples=120)
@given(data=st.data())
def test_pieces_are_those_of_the_slow_twin(data, texts, census):
    corpus = data.draw(texts, "texts")
    max_order = data.draw(st.sampled_from([2, 3, 4, 8]), "max_order")
    found = census(corpus, CLASSES, data.draw(SHARES, "share_bytes"))
    grams = sorted(gram for gram in count_grams(corpus, CLASSES, max_order) if len(gram) > 1)
    kept = [gram for gram in grams if data.draw(st.integers(0, 3))]
    check_cutting(corpus, kept, max_order, found, data.draw(st.integers(1, 3), "threads"))


@pytest.mark.parametrize("max_order", [2, 4, 8])
@pytest.mark.parametrize("share_bytes", [3, 30, 201])
def test_long_pieces_are_cut_alike_at_every_share(census, max_order, share_bytes):
    # Ever longer chains of kept grams, with a last link that only the last window shows.
    lines = [
        "一二" * (length // 2) + "三" * (length % 2) + tail
        for length in range(55, 75)
        for tail in ("四", "五六七八九十百")
    ]
    corpus = ["，".join(lines).encode()]
    grams = [gram for gram in count_grams(corpus, CLASSES, max_order) if len(gram) > 1]
    for without in ("", "四", "五"):
        kept = [gram for gram in grams if without not in gram or not without]
        check_cutting(corpus, kept, max_order, census(corpus, CLASSES, share_bytes))
    longest = [gram for gram in grams if len(gram) == max_order]
    check_cutting(corpus, longest, max_order, census(corpus, CLASSES, share_bytes))
    # The last link begins with the last symbol of the chain, so nothing nearer shows it.
    longest = [gram for gram in longest if set(gram) <= {"一", "二"} or gram[1] == "五"]
    check_cutting(corpus, longest, max_order, census(corpus, CLASSES, share_bytes))


def test_units_before_a_share_are_seen_whole(census):
    corpus = [("中" + "x" * 64 + "文，" + "é" * 64 + "中" + "é" * 65 + "文，" + "ａ" * 64 + "文").encode()]
    kept = [("中", "x" * 64), ("x" * 64, "文"), ("é" * 64, "中")]
    for share_bytes in (1, 7, 66, 130, 131):
        found = census(corpus, CLASSES, share_bytes)
        check_cutting(corpus, kept, 2, found)
        alphabet = found.alphabet(1)
        got = find_occurrences(
            found.shares,
            alphabet,
            as_words([("文",), ("中",)], alphabet),
            np.ones(2, bool),
            np.zeros(alphabet.size + 1, bool),
        )
        assert got.counts.tolist() == [3, 2]
        assert got.left_entropy[0] == pytest.approx(log(3))  # two units, and a break: a unit too long is one


def test_words_of_64_symbols_are_found_over_stretches(census):
    text = "中" * 300_000  # passes one stretch of the kernel
    found = census([text.encode()], CLASSES)
    alphabet = found.alphabet(1)
    words = as_words([("中",) * 64, ("中",)], alphabet)
    got = find_occurrences(
        found.shares, alphabet, words, np.ones(2, bool), np.zeros(2, bool), num_places=2, threads=2
    )
    assert got.counts.tolist() == [300_000 - 63, 300_000]
    assert got.places.tolist() == [[0, 3], [0, 3]]
    rate = 1 / (300_000 - 63)
    expected = -rate * log(rate) - (1 - rate) * log(1 - rate)
    assert got.left_entropy[0] == got.right_entropy[0] == pytest.approx(expected, abs=1e-9)


def test_the_longest_stretch_has_room(census):
    # No line ends near the first stretch of 2^18 bytes; the second reaches as far as it may for one.
    corpus = [b"a" * ((1 << 19) + 65534) + b"\nab\n" + b"a" * 9]
    classes = word_classes(split_latin=True)
    found = census(corpus, classes)
    alphabet = found.alphabet(1)
    words = as_words([("a", "a"), ("a", "b")], alphabet)
    pieces = cut_by_connection(found.shares, alphabet, words, 2)
    assert pieces.kept_counts.tolist() == [0, 1]
    assert pieces.longer_counts.tolist() == [1]  # the last line; the first is too long for a word
    got = find_occurrences(found.shares, alphabet, words, np.ones(2, bool), np.zeros(3, bool), num_places=1)
    assert got.counts.tolist() == [(1 << 19) + 65533 + 8, 1]
    assert got.places.tolist() == [[0], [(1 << 19) + 65535]]


def test_places_lie_in_the_right_text(census):
    corpus = ["一二一".encode(), b"", "二一".encode()]
    found = census(corpus, CLASSES, share_bytes=3)
    numbers, offsets = locate(found.shares, np.array([0, 6, 9, 12], np.uint64))
    assert [found.shares[number].text for number in numbers] == [0, 0, 2, 2]
    assert offsets.tolist() == [0, 6, 0, 3]
    assert [found.shares[number].start for number in numbers] == [0, 6, 0, 3]


def test_words_are_taken_and_joined_by_rows():
    words = Words(np.array([1, 2, 2, 3, 3, 3], np.uint32), np.array([1, 3, 6], np.uint64))
    taken = words.take(np.array([2, 0, 2]))
    assert taken.symbols.tolist() == [3, 3, 3, 1, 3, 3, 3]
    assert taken.ends.tolist() == [3, 4, 7]
    assert taken.lengths.tolist() == [3, 1, 3]
    both = concatenate([words, taken, words.take(np.zeros(0, np.int64))])
    assert both.symbols.tolist() == [1, 2, 2, 3, 3, 3, 3, 3, 3, 1, 3, 3, 3]
    assert both.ends.tolist() == [1, 3, 6, 9, 10, 13]


def test_a_dictionary_marks_its_words(census):
    corpus = ["中文文的中文abc的7".encode()]
    alphabet = census(corpus, CLASSES).alphabet(1)
    grams = [("中", "文"), ("文",), ("abc", "的"), ("的",), ("7",), ("文", "文")]
    lines = b"\xe4\xb8\xad\xe6\x96\x87 5 n\n\xe6\x96\x87\tx\r\nabc\xe7\x9a\x84\r\n\n \xe7\x9a\x84\n"
    lines += "7，\n文文文\n".encode() + b"\xe6\x96\x87" * 200 + b"\n" + b"\xff\xe7\x9a\x84\n\xe7\x9a\x84\xff"
    marks = np.zeros(len(grams), np.uint8)
    _kernel.mark(alphabet.kernel, lines, as_words(grams, alphabet).trie(alphabet), marks)
    assert marks.tolist() == [1, 1, 1, 0, 0, 0]
    _kernel.mark(alphabet.kernel, "的\n文文".encode(), as_words(grams, alphabet).trie(alphabet), marks)
    assert marks.tolist() == [1, 1, 1, 1, 0, 1]
