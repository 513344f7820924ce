"""Which code points count, and how symbols are numbered."""

import numpy as np
import pytest

from nlpkit.ngram import _kernel
from nlpkit.ngram.alphabet import BREAK, CHARACTER, UNIT_PART, join, pick, seed_classes, word_classes

TEXT = "龥中z9 Ab中，kana カな 한é 𠀀\nz9 z9"


@pytest.mark.parametrize(
    ("kind", "characters"),
    [
        (CHARACTER, "々〇一龥鿿㐀䶿𠀀𪚥ぁんァヶー가힣豈\U00030000"),
        (UNIT_PART, "09AZazÀÖØöøɏΑωЀԯẀ０９ＡＺａｚ\u0300\u036f"),
        (BREAK, "\0\n\t -_@×÷、。，「」☃😀\ufffd\u3040\u2028①"),
    ],
)
def test_each_script_counts_in_its_way(kind, characters):
    classes = word_classes()
    assert [classes[ord(c)] for c in characters] == [kind] * len(characters)


def test_split_latin_makes_parts_of_units_characters():
    units, single = word_classes(), word_classes(split_latin=True)
    assert np.array_equal(single, np.where(units == UNIT_PART, CHARACTER, units))


def test_the_seed_counts_han_and_ascii_letters_and_digits():
    counted = {chr(point) for point in np.flatnonzero(seed_classes() == CHARACTER)}
    han = {chr(point) for point in range(0x4E00, 0x9FA6)}
    assert counted == han | set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    assert not np.any(seed_classes() == UNIT_PART)


def test_symbols_stand_by_code_point_and_units_follow_by_their_bytes(census):
    alphabet = census([TEXT.encode()], word_classes(), share_bytes=7).alphabet(1)
    assert alphabet.names == ["", "な", "カ", "中", "龥", "한", "𠀀", "Ab", "kana", "z9", "é"]
    assert alphabet.counts.tolist() == [0, 1, 1, 2, 1, 1, 1, 1, 1, 3, 1]
    assert (alphabet.num_characters, alphabet.num_all_symbols, alphabet.size) == (6, 13, 10)


def test_rare_units_have_no_number_but_count_as_symbols(census):
    alphabet = census([TEXT.encode()], word_classes()).alphabet(2)
    assert alphabet.names[alphabet.num_characters + 1 :] == ["z9"]
    assert alphabet.num_all_symbols == 13


def test_split_takes_back_join():
    strings = [b"", b"ab", b"", b"c"]
    assert pick(*join(strings), np.arange(len(strings))) == strings
    assert pick(*join(strings), np.array([len(strings) - 1, 0])) == [strings[-1], strings[0]]
    assert pick(*join([]), np.zeros(0, np.int64)) == []


def test_units_of_several_threads_are_the_same(census):
    text = "".join(f"u{number % 700}，" for number in range(3000)).encode()
    one, several = (census([text], word_classes(), 1 << 10, threads).alphabet(1) for threads in (1, 3))
    assert one.names == several.names
    assert np.array_equal(one.counts, several.counts)
    assert len(one.names) == 701


def test_a_frozen_alphabet_takes_nothing_more(census):
    kernel = census([b"abc"], word_classes()).alphabet(1).kernel
    points = np.zeros(0x110000, np.uint32)
    with pytest.raises(ValueError, match="frozen"):
        _kernel.alphabet_counts(kernel)
    with pytest.raises(ValueError, match="frozen"):
        _kernel.alphabet_freeze(kernel, points, points)
    with pytest.raises(ValueError, match="frozen"):
        _kernel.alphabet_add(kernel, b"x", np.ones(1, np.uint64), np.ones(1, np.uint64))
