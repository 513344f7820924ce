"""Batches of similar length: no example is lost, none is too large, and the seed decides everything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpkit.bert.batches import draw_examples, plan_epoch

LENGTHS = st.lists(st.integers(1, 60), max_size=80).map(lambda sizes: np.array(sizes, np.int32))


def generator(seed=0):
    return np.random.default_rng(seed)


@given(LENGTHS, st.integers(1, 200), st.integers(0, 9))
def test_every_example_is_in_one_batch_and_padding_counts(lengths, batch_tokens, seed):
    batches = plan_epoch(lengths, batch_tokens, generator(seed))
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= batch_tokens


def test_an_example_that_is_too_long_makes_a_batch_of_its_own():
    batches = plan_epoch(np.array([3, 50, 3], np.int32), 10, generator())
    assert sorted(sorted(batch.tolist()) for batch in batches) == [[0, 2], [1]]


def test_batches_hold_little_padding_and_mix_the_corpus():
    random = generator(1)
    lengths = random.integers(4, 129, 20_000).astype(np.int32)
    batches = plan_epoch(lengths, 2048, random)
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    assert lengths.sum() / padded > 0.97
    # The length of a batch tells nothing of the next one's, and its examples are from all over the corpus.
    means = np.array([lengths[batch].mean() for batch in batches])
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.15
    spreads = [batch.std() / len(lengths) for batch in batches if len(batch) > 8]
    assert np.mean(spreads) == pytest.approx(12**-0.5, rel=0.05)


def test_the_seed_decides_the_plan():
    lengths = generator(2).integers(1, 20, 300).astype(np.int32)
    first, again, other = (plan_epoch(lengths, 50, generator(seed)) for seed in (5, 5, 6))
    assert [batch.tolist() for batch in first] == [batch.tolist() for batch in again]
    assert [batch.tolist() for batch in first] != [batch.tolist() for batch in other]


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from([0, 0.25, 0.5, 1, 1.5, 2, 3])), max_size=5))
def test_an_epoch_reads_each_file_as_often_as_asked(files):
    sizes, repeats = [size for size, _ in files], [repeat for _, repeat in files]
    drawn = draw_examples(sizes, repeats, generator())
    first = 0
    for size, repeat in files:
        times = np.bincount(drawn, minlength=sum(sizes) + 1)[first : first + size]
        assert set(times) <= {int(repeat), int(repeat) + (repeat % 1 > 0)}
        assert times.sum() == int(repeat) * size + round(repeat % 1 * size)
        first += size
    assert len(drawn) == 0 or drawn.max() < first


def test_a_random_part_of_a_file_is_another_one_in_every_epoch():
    random = generator()
    seen = [set(draw_examples([100], [0.5], random)) for _ in range(20)]
    assert all(len(part) == 50 for part in seen)
    counts = np.bincount([number for part in seen for number in part], minlength=100)
    assert counts.min() > 0
    assert counts.max() < 20


def test_each_file_needs_a_number():
    with pytest.raises(ValueError, match="zip"):
        draw_examples([1, 2], [1], generator())
