"""Work in shares and threads."""

from itertools import pairwise
from time import sleep

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpkit.ngram.shares import bucket_ranges, cut_shares, run_all, split_evenly


@settings(max_examples=200)
@given(data=st.data())
def test_shares_cover_the_texts_and_cut_no_code_point(data, texts):
    corpus = data.draw(texts)
    shares = cut_shares(corpus, data.draw(st.integers(1, 20)))
    for number, text in enumerate(corpus):
        parts = [text[share.start : share.end] for share in shares if share.text == number]
        assert b"".join(parts) == text
        assert all(parts)
        decoded = "".join(part.decode("utf-8", "replace") for part in parts)
        assert decoded == text.decode("utf-8", "replace")
    assert [share.text for share in shares] == sorted(share.text for share in shares)


def test_shares_end_at_a_line_if_one_is_near():
    text = "一二三四五\n六七八\n九".encode()
    assert [share.end for share in cut_shares([text], 10)] == [16, 26, 29]


def test_a_text_of_one_long_line_is_cut_too():
    shares = cut_shares(["中".encode() * 100_000], 100_000)
    assert [share.end - share.start for share in shares] == [100_002, 100_002, 99_996]


@given(st.lists(st.integers(0, 50), max_size=8), st.integers(1, 9), st.integers(1, 30))
def test_parts_keep_all_shares_in_order(sizes, parts, share_bytes):
    shares = cut_shares([b"x" * size for size in sizes], share_bytes)
    lists = split_evenly(shares, parts)
    assert [share for part in lists for share in part] == shares
    assert all(lists)
    assert len(lists) <= parts


def test_parts_have_about_as_many_bytes():
    shares = cut_shares([b"x" * 1000], 10)
    assert [len(part) for part in split_evenly(shares, 4)] == [25, 25, 25, 25]


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 20))
def test_ranges_of_buckets_keep_to_the_most(sizes, most):
    numbers = np.array(sizes, np.uint64)
    ranges = bucket_ranges(numbers, most)
    assert [bucket for first, last in ranges for bucket in range(first, last)] == list(range(len(sizes)))
    for first, last in ranges:
        assert last == first + 1 or sum(sizes[first:last]) <= most
    for (first, last), _ in pairwise(ranges):
        assert sum(sizes[first : last + 1]) > most


@pytest.mark.parametrize("threads", [1, 3])
def test_results_stand_in_the_order_of_the_items(threads):
    told = []
    got = run_all(
        lambda item: item * 2,
        iter(range(20)),
        threads=threads,
        progress=lambda *what: told.append(what),
        stage="s",
    )
    assert got == [item * 2 for item in range(20)]
    assert told == [("s", done, 20) for done in range(1, 21)]


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_a_thread_ends_all_work(threads):
    begun = []

    def work(item):
        begun.append(item)
        if item == 1:
            raise ZeroDivisionError("on purpose")
        sleep(0.002)

    with pytest.raises(ZeroDivisionError, match="on purpose"):
        run_all(work, range(1000), threads=threads)
    assert len(begun) < 1000
