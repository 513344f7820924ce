import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nlpkit.lexicon.decode import Decoder
from nlpkit.lexicon.refine import RefinedLexicon, refine

TEXTS = st.lists(st.integers(0, 6), max_size=200).map(lambda text: np.array(text, np.uint32))


def counts_by_word(lexicon: RefinedLexicon) -> dict[tuple[int, ...], float]:
    return dict(zip(lexicon.words(), lexicon.counts.tolist(), strict=True))


def made_up_text(num_words: int) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]], NDArray[np.uint32]]:
    """A random vocabulary, words drawn from it by Zipf's law, and the same as a text with some breaks."""
    random = np.random.default_rng(4)
    vocabulary = list(
        {tuple(random.integers(1, 60, random.integers(1, 4)).tolist()): None for _ in range(200)}
    )
    chances = 1 / np.arange(3, len(vocabulary) + 3)
    drawn = random.choice(len(vocabulary), num_words, p=chances / chances.sum())
    words = [vocabulary[number] for number in drawn]
    text = [symbol for at, word in enumerate(words) for symbol in (*word, *([0] if at % 9 == 8 else []))]
    return vocabulary, words, np.array(text, np.uint32)


def test_recovers_the_words_of_a_made_up_language() -> None:
    vocabulary, words, text = made_up_text(20_000)
    found = counts_by_word(refine(text))
    frequent = sorted(found, key=lambda word: -found[word])[:50]
    assert len(set(frequent) & set(vocabulary)) >= 48
    right = sum(min(count, words.count(word)) for word, count in found.items())
    assert right / sum(found.values()) > 0.9
    assert right / len(words) > 0.9


def test_its_lexicon_cuts_the_text_into_the_words_it_was_made_of() -> None:
    _, words, text = made_up_text(20_000)
    lexicon = refine(text)
    ends = Decoder(lexicon.symbols, lexicon.lengths, lexicon.counts).cut(text)
    true_ends = np.cumsum([len(word) for word in words]) - 1
    found_ends = np.flatnonzero(ends[text > 0])
    common = len(np.intersect1d(true_ends, found_ends))
    assert common / len(found_ends) > 0.95
    assert common / len(true_ends) > 0.95


def test_the_same_seed_gives_the_same_lexicon_on_any_number_of_threads() -> None:
    _, _, text = made_up_text(3_000)
    first, second, third = refine(text, seed=7), refine(text, seed=7, threads=3), refine(text, seed=8)
    assert counts_by_word(first) == counts_by_word(second)
    assert first.words() == second.words()
    assert counts_by_word(first) != counts_by_word(third)


@given(TEXTS)
@settings(max_examples=50)
def test_the_words_cover_every_symbol_once(text: NDArray[np.uint32]) -> None:
    found = counts_by_word(refine(text, chains=3, sweeps=2))
    for symbol in range(1, 7):
        covered = sum(word.count(symbol) * count for word, count in found.items())
        assert covered == pytest.approx(np.count_nonzero(text == symbol))
    raw = text.tobytes()
    assert all(np.array(word, np.uint32).tobytes() in raw for word in found)


def test_counts_are_sorted_and_sum_to_the_mean_number_of_tokens() -> None:
    _, _, text = made_up_text(2_000)
    lexicon = refine(text, chains=1, sweeps=3)
    assert (np.diff(lexicon.counts) <= 0).all()
    assert (lexicon.counts == np.round(lexicon.counts)).all()  # one chain counts whole tokens
    assert (lexicon.counts * lexicon.lengths).sum() == np.count_nonzero(text)


def test_chains_differ_from_each_other() -> None:
    _, _, text = made_up_text(2_000)
    counts = refine(text, chains=2, sweeps=1).counts
    assert (counts != np.round(counts)).any()


def test_a_phrase_that_always_stands_alone_is_one_word_of_four_symbols() -> None:
    text = np.tile(np.array([1, 2, 3, 4, 0], np.uint32), 100)
    assert counts_by_word(refine(text)) == {(1, 2, 3, 4): 100.0}


def test_an_empty_text_and_one_of_breaks_alone_have_no_words() -> None:
    for text in ([], [0], [0, 0, 0]):
        assert refine(np.array(text, np.uint32)).words() == []


def test_a_text_of_one_symbol_is_one_word() -> None:
    assert counts_by_word(refine(np.array([5], np.uint32))) == {(5,): 1.0}


def test_an_endless_run_is_covered_in_windows() -> None:
    text = np.tile(np.array([1, 2, 3, 4, 5, 6, 7], np.uint32), 3_000)
    lexicon = refine(text, chains=2, sweeps=2)
    assert (lexicon.counts * lexicon.lengths).sum() == len(text)
    assert refine(np.full(10_000, 3, np.uint32), chains=1, sweeps=3).lengths.max() <= 5


def test_progress_is_told_after_every_sweep() -> None:
    seen: list[tuple[int, int]] = []
    refine(
        np.array([1, 2, 0, 1, 2], np.uint32),
        chains=2,
        sweeps=3,
        threads=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(done, 6) for done in range(1, 7)]


@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupt_in_the_callback_stops_the_work(threads: int) -> None:
    calls = 0

    def interrupt(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refine(np.array([1, 2], np.uint32), chains=50, sweeps=50, threads=threads, progress=interrupt)
    assert calls <= 50  # each chain stops at its first sweep


@pytest.mark.parametrize(
    "bad", [np.array([1.0]), np.array([[1]], np.uint32), np.arange(9, dtype=np.uint32)[::2]]
)
def test_refuses_symbols_of_another_shape_or_type(bad: NDArray[np.uint32]) -> None:
    with pytest.raises(ValueError, match="uint32"):
        refine(bad)


def test_refuses_symbols_above_the_limit_and_numbers_below_one() -> None:
    with pytest.raises(ValueError, match="2\\*\\*24"):
        refine(np.array([2**24 + 1], np.uint32))
    with pytest.raises(ValueError, match="at least 1"):
        refine(np.array([1], np.uint32), chains=0)
