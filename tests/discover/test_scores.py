"""Scores, gates and default counts, by hand-computed values."""

from math import log

import numpy as np
import pytest

from nlpkit.discover.scores import default_min_count, frequency_score, least_entropy, newness_score


def numbers(*values):
    return np.array(values, np.uint64)


@pytest.mark.parametrize(
    ("num_symbols", "least"),
    [(0, 2), (1, 2), (500, 2), (1299, 3), (1296, 2), (28_000, 5), (32_400_000, 31), (10**10, 132)],
)
def test_the_least_count_grows_with_the_fourth_root_of_the_text(num_symbols, least):
    assert default_min_count(num_symbols) == least


def test_the_least_count_never_falls():
    counts = [default_min_count(num) for num in range(0, 2_000_000, 997)]
    assert counts == sorted(counts)


def test_a_log_likelihood_ratio_is_that_of_a_two_by_two_table():
    # 30 of 1000 here, 10 of 9000 there: expected are 4 and 36.
    expected = 2 * (30 * log(30 / 4) + 10 * log(10 / 36))
    assert newness_score(numbers(30), 1000, numbers(10), 9000)[0] == pytest.approx(expected)


def test_a_word_that_is_rarer_here_has_a_negative_ratio():
    here = newness_score(numbers(10), 9000, numbers(30), 1000)[0]
    assert here == pytest.approx(-newness_score(numbers(30), 1000, numbers(10), 9000)[0])


def test_a_word_that_the_background_lacks_scores_by_its_own_count():
    expected = 2 * 5 * log(5 / (5 * 100 / 1000))
    assert newness_score(numbers(5), 100, numbers(0), 900)[0] == pytest.approx(expected)


def test_equal_rates_score_nothing():
    assert newness_score(numbers(5, 7), 100, numbers(45, 63), 900).tolist() == pytest.approx([0, 0])


def test_an_empty_background_scores_nothing():
    assert newness_score(numbers(5), 100, numbers(0), 0).tolist() == pytest.approx([0])


def test_the_score_is_count_entropy_and_excess_cohesion():
    got = frequency_score(
        numbers(100, 10, 10, 10),
        np.array([2, 3, 7, 1]),
        np.array([3.0, 14.0, 6.5, 0.0]),
        np.array([2.0, 1.0, 1.0, 1.0]),
        4,
    )
    assert got.tolist() == pytest.approx(
        [
            log(100) + 1 + 0.3 * (3 - 2),
            log(10) + 0.5 + 0.3 * 6,  # no excess counts beyond 6
            log(10) + 0.5 + 0.3 * (6.5 - 6),  # a longer word by its weakest window of 4
            log(10) + 0.5,
        ]
    )


def test_longer_words_need_more_entropy_but_rare_words_only_what_their_count_allows():
    got = least_entropy(numbers(10**6, 10**6, 10**6, 10**6, 4, 1), np.array([1, 2, 3, 6, 3, 2]))
    assert got.tolist() == pytest.approx([1.5, 1.5, 1.75, 2.5, 0.6 * log(4), 0])
