"""Counts, entropies and cohesion, held against the slow twin."""

import random
from collections import Counter
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpkit.ngram import counts
from nlpkit.ngram.alphabet import CHARACTER, NUM_CODE_POINTS, word_classes
from nlpkit.ngram.grams import gram_statistics
from nlpkit.ngram.passes import Words
from nlpkit.ngram.reference import cohesion, count_grams, entropies
from nlpkit.ngram.saved import Saved, occurrences_in

SHARES = st.sampled_from([1, 2, 3, 5, 8, 64, 1 << 20])
CLASSES = {split: word_classes(split_latin=split) for split in (False, True)}


def named_rows(table, alphabet):
    """Each gram of a table, as a tuple of names, with its row."""
    rows = [tuple(alphabet.names[s] for s in row) for part in table.symbols for row in part.tolist()]
    return {gram: row for row, gram in enumerate(rows)}


@settings(max_examples=150)
@given(data=st.data())
def test_statistics_are_those_of_the_slow_twin(data, texts, census, count):
    corpus = data.draw(texts, "texts")
    classes = CLASSES[data.draw(st.booleans(), "split_latin")]
    order = data.draw(st.sampled_from([1, 2, 3, 4, 4, 4, 5, 8]), "order")
    min_count = data.draw(st.integers(1, 3), "min_count")
    threads = data.draw(st.integers(1, 3), "threads")
    found = census(corpus, classes, data.draw(SHARES, "share_bytes"), threads)
    alphabet = found.alphabet(data.draw(st.sampled_from([1, min_count]), "min_unit_count"))
    spilled, wide = data.draw(st.booleans(), "spilled"), data.draw(st.booleans(), "wide")
    run = count(found, alphabet, order, spilled, wide, threads)
    table = gram_statistics(run, alphabet, order, min_count, threads=threads)

    twin = count_grams(corpus, classes, order + 1)
    rows = named_rows(table, alphabet)
    assert rows.keys() == {
        gram for gram, number in twin.items() if number >= min_count and len(gram) <= order
    }
    for gram, row in rows.items():
        assert table.counts[row] == twin[gram]
        assert table.cohesion[row] == pytest.approx(cohesion(twin, gram), abs=1e-9)
        left, right = entropies(twin, gram, min_count, classes)
        assert table.left_entropy[row] == pytest.approx(left, abs=1e-9)
        assert table.right_entropy[row] == pytest.approx(right, abs=1e-9)
    assert found.num_symbols == sum(number for gram, number in twin.items() if len(gram) == 1)
    assert [len(part) for part in table.symbols] == np.diff(table.offsets).tolist()


@settings(max_examples=40)
@given(data=st.data())
def test_no_bit_depends_on_shares_threads_memory_or_width(data, texts, census, count):
    corpus = data.draw(texts)
    results = []
    for share_bytes, threads, spilled, wide in [
        (1 << 20, 1, False, False),
        (data.draw(SHARES), 3, False, True),
        (data.draw(SHARES), 2, True, False),
    ]:
        found = census(corpus, CLASSES[False], share_bytes, threads)
        alphabet = found.alphabet(2)
        run = count(found, alphabet, 4, spilled, wide, threads)
        table = gram_statistics(run, alphabet, 4, 2, threads=threads)
        columns = table.counts, table.cohesion, table.left_entropy, table.right_entropy
        results.append([alphabet.names, *[column.tobytes() for column in (*table.symbols, *columns)]])
    assert results[0] == results[1] == results[2]


def test_symbols_that_were_not_kept_are_read_again(census, count):
    corpus = ["中文的中文abc中文abc".encode() * 3, "的中文".encode()]
    found = census(corpus, CLASSES[False], share_bytes=10, memory_bytes=0)
    assert not found.decoded
    alphabet = found.alphabet(2)
    run = count(found, alphabet, 3, memory_bytes=0)
    table = gram_statistics(run, alphabet, 3, 1)
    rows = named_rows(table, alphabet)
    assert {gram: table.counts[row] for gram, row in rows.items()} == count_grams(corpus, CLASSES[False], 3)


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize(("threads", "wide"), [(1, False), (2, True)])
def test_large_buckets_are_sorted(census, count, order, threads, wide):
    seed = random.Random(1)
    # The bucket of 一 passes what is sorted at once; most of it, then, shares its highest bits.
    text = "".join(seed.choices([chr(0x4E00 + n) for n in range(700)], [2000, 300] + [1] * 698, k=120_000))
    found = census([text.encode()], CLASSES[False], 1 << 16, threads)
    alphabet = found.alphabet(1)
    run = count(found, alphabet, order, wide=wide, threads=threads)
    table = gram_statistics(run, alphabet, order, 1, threads=threads)
    for length in range(1, order + 1):
        twin = Counter(text[i : i + length] for i in range(len(text) - length + 1))
        grams = ["".join(alphabet.names[s] for s in row) for row in table.symbols[length - 1].tolist()]
        assert dict(zip(grams, table.counts[table.rows(length)].tolist(), strict=True)) == twin
        assert grams == sorted(grams)
    after = Counter(text[i + 1 : i + 2] for i in range(len(text)) if text[i] == "一")
    before = Counter(text[i - 1 : i] if i else "" for i in range(len(text)) if text[i] == "一")
    for beside, entropy in ((after, table.right_entropy[0]), (before, table.left_entropy[0])):
        assert max(beside.values()) > 1 << 14  # past the table of logarithms
        rates = [number / beside.total() for number in beside.values()]
        assert entropy == pytest.approx(-sum(rate * log(rate) for rate in rates), abs=1e-9)


def test_every_code_point_can_count(census, count):
    classes = np.full(NUM_CODE_POINTS, CHARACTER, np.uint8)
    points = [point for point in range(1, NUM_CODE_POINTS) if not 0xD800 <= point < 0xE000]
    points.remove(ord("\n"))  # this and U+0000 are always breaks
    text = "".join(map(chr, points))
    found = census([f"\0{text}\n\0".encode()], classes, share_bytes=1 << 20)
    alphabet = found.alphabet(1)
    assert "".join(alphabet.names) == text
    assert (alphabet.counts[1:] == 1).all()
    run = count(found, alphabet, 4)
    assert run.wide
    assert run.num_keys == len(text)
    saved = Saved(alphabet.names, alphabet.counts, alphabet.num_characters, len(text), True, run)
    grams = np.arange(1, len(text) - 3, 1000)[:, None] + np.arange(5)
    words = Words(grams[:-1].astype(np.uint32).ravel(), np.arange(1, len(grams), dtype=np.uint64) * 5)
    assert (occurrences_in(saved, words, alphabet.names, alphabet.num_characters) == 1).all()


@pytest.mark.parametrize("order", range(1, 9))
def test_keys_reach_over_the_ends_of_shares(census, count, order):
    text = "一二三四五六七八九" * 4 + "十"
    found = census([text.encode()], CLASSES[False], share_bytes=1)
    run = count(found, found.alphabet(1), order)
    assert len(found.shares) == len(text)
    assert run.num_keys == len({text[i : i + order + 1] for i in range(len(text))})


def test_keys_end_at_the_first_break(census, count):
    found = census(["中文，的中文。中文的".encode()], CLASSES[False])
    run = count(found, found.alphabet(1), 3)
    assert run.num_keys == len({"中文", "文", "的中文", "中文的", "文的", "的"})


def test_blocks_keep_to_the_memory(census):
    found = census(["中文的，".encode() * 100], CLASSES[False], share_bytes=120)
    blocks = counts._blocks(found, 1000, 16)
    assert [share for block in blocks for share in block] == found.shares
    size = {
        share: points * 16 + share.end - share.start
        for share, points in zip(found.shares, found.code_points, strict=True)
    }
    assert len(blocks) > 3
    assert all(sum(size[share] for share in block) <= 1000 for block in blocks)
    assert len(counts._blocks(found, 1, 16)) == len(found.shares)


def test_grams_that_fit_no_key_are_refused(census, count):
    found = census([b"\xe4\xb8\x80"], CLASSES[False])
    alphabet = found.alphabet(1)
    with pytest.raises(ValueError, match="depth of 10"):
        count(found, alphabet, 9)


@pytest.mark.parametrize("text", [b"", "，。\n".encode(), b"\xff\xfe"])
@pytest.mark.parametrize("spilled", [False, True])
def test_text_without_letters_has_no_grams(census, count, text, spilled):
    found = census([text, b""], CLASSES[False], share_bytes=1)
    alphabet = found.alphabet(1)
    run = count(found, alphabet, 4, spilled)
    table = gram_statistics(run, alphabet, 4, 1)
    assert (found.num_symbols, run.num_keys, len(table.counts)) == (0, 0, 0)
