import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpkit.lexicon.decode import Decoder
from nlpkit.lexicon.reference import ReferenceModel

SYMBOLS = st.integers(1, 4)
WORDS = st.lists(SYMBOLS, min_size=1, max_size=5).map(tuple)
COUNTS = st.floats(0, 1000)
UNKNOWN = 9


def decoder(lexicon: dict[tuple[int, ...], float]) -> Decoder:
    symbols = np.array([symbol for word in lexicon for symbol in word], np.uint32)
    lengths = np.array([len(word) for word in lexicon], np.uint32)
    return Decoder(symbols, lengths, np.array(list(lexicon.values()), np.float64))


def cut(lexicon: dict[tuple[int, ...], float], text: list[int]) -> list[tuple[int, ...]]:
    ends = decoder(lexicon).cut(np.array(text, np.uint32))
    words, start = [], 0
    for at, symbol in enumerate(text):
        if symbol == 0:
            assert not ends[at]
            start = at + 1
        elif ends[at]:
            words.append(tuple(text[start : at + 1]))
            start = at + 1
        else:
            assert at + 1 < len(text)
            assert text[at + 1] != 0
    return words


@given(st.dictionaries(WORDS, COUNTS, max_size=8), st.lists(st.integers(1, 5), min_size=1, max_size=9))
def test_no_segmentation_has_more_words_expected_to_be_right(
    lexicon: dict[tuple[int, ...], float], run: list[int]
) -> None:
    expected = ReferenceModel(lexicon).expected_right(tuple(run))
    found = tuple(cut(lexicon, run))
    assert expected[found] == pytest.approx(max(expected.values()), abs=1e-9)


def test_frequent_words_are_found_and_unknown_symbols_stand_apart() -> None:
    lexicon = {(1, 2): 50.0, (3, 4, 5, 6): 40.0, (7,): 90.0}
    assert cut(lexicon, [7, 1, 2, 7, 3, 4, 5, 6]) == [(7,), (1, 2), (7,), (3, 4, 5, 6)]
    assert cut(lexicon, [1, 2, UNKNOWN, 1, 2]) == [(1, 2), (UNKNOWN,), (1, 2)]


def test_the_start_of_a_long_word_is_not_itself_a_word() -> None:
    lexicon = {(1, 2, 3, 4, 5): 10_000.0}
    assert cut(lexicon, [1, 2, 3, 4, 5]) == [(1, 2, 3, 4, 5)]
    assert max(map(len, cut(lexicon, [1, 2, 3, 4]))) <= 3


def test_a_break_ends_a_word_and_is_none_itself() -> None:
    assert cut({(1, 2): 50.0}, [0, 1, 0, 0, 2, 0]) == [(1,), (2,)]


def test_runs_are_cut_apart_from_each_other() -> None:
    lexicon = {(1, 2): 5.0, (2, 3): 6.0, (3, 1): 4.0, (1,): 3.0}
    runs = [[1, 2, 3], [2, 3, 1, 2], [3, 1]]
    together = [symbol for run in runs for symbol in [*run, 0]]
    assert cut(lexicon, together) == [word for run in runs for word in cut(lexicon, run)]


def test_a_word_listed_twice_has_the_sum_of_its_counts() -> None:
    symbols = np.array([1, 2, 1, 2, 2, 3], np.uint32)
    twice = Decoder(symbols, np.array([2, 2, 2], np.uint32), np.array([30.0, 20.0, 45.0]))
    once = decoder({(1, 2): 50.0, (2, 3): 45.0})
    text = np.array([1, 2, 3, 0, 1, 2, 2, 3], np.uint32)
    assert twice.cut(text).tolist() == once.cut(text).tolist()


@pytest.mark.parametrize("length", [4096, 4097, 30_000])
def test_a_run_longer_than_the_window_is_cut_into_the_same_words(length: int) -> None:
    lexicon = {(1, 2): 50.0, (3, 4, 5): 40.0, (7,): 90.0}
    pattern = [1, 2, 7, 3, 4, 5]
    text = (pattern * (length // 6 + 1))[:length]
    whole = [(1, 2), (7,), (3, 4, 5)]
    words = cut(lexicon, text)
    assert words[:-3] == (whole * len(words))[: len(words) - 3]


def test_symbols_that_drive_the_weights_to_extremes_are_still_cut() -> None:
    often = {(symbol,): 1e9 for symbol in range(1, 5)} | {(5, 6): 1e9}
    assert len(cut(often, [1, 2, 3, 4] * 1000)) == 4000
    assert sum(map(len, cut(often, [UNKNOWN, UNKNOWN + 1] * 2000))) == 4000


def test_without_a_lexicon_every_symbol_still_gets_a_place() -> None:
    assert sum(map(len, cut({}, [1, 2, 3, 4, 5]))) == 5
    assert cut({}, []) == []


@pytest.mark.parametrize(
    ("symbols", "lengths", "counts"),
    [
        ([1, 0], [2], [1.0]),  # a break inside a word
        ([1, 2], [1], [1.0]),  # symbols left over
        ([1, 2], [2], [1.0, 2.0]),  # counts left over
        ([1], [1, 0], [1.0, 1.0]),  # a word of nothing
        ([1] * 65, [65], [1.0]),  # longer than any word may be
        ([1], [1], [-1.0]),
        ([1], [1], [float("nan")]),
        ([2**24 + 1], [1], [1.0]),
    ],
)
def test_refuses_a_malformed_lexicon(symbols: list[int], lengths: list[int], counts: list[float]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Decoder(np.array(symbols, np.uint32), np.array(lengths, np.uint32), np.array(counts, np.float64))


def test_refuses_symbols_of_another_type() -> None:
    with pytest.raises(ValueError, match="uint32"):
        decoder({(1,): 1.0}).cut(np.array([1, 2]))  # type: ignore[arg-type]
