"""The batches of a run: each is a function of its number, and an epoch reads what it should."""

from collections import Counter
from itertools import count

import numpy as np
import pytest

from nlpkit.bert.tokenizer import Tokenizer
from nlpkit.errors import InputError
from nlpkit.mlm.batches import MaskedBatches
from nlpkit.mlm.tokens import write_tokens

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENIZER = Tokenizer([*SPECIAL, *(f"t{number}" for number in range(995))], lower_case=True)


@pytest.fixture
def files(tmp_path):
    """Three files of 40, 10 and 1 examples; the first token of each example is its number + 5."""
    numbers = count(5)
    made = []
    for name, size in (("a", 40), ("b", 10), ("c", 1)):
        lines = [[next(numbers), *range(5, 8 + place % 30)] for place in range(size)]
        made.append(
            write_tokens(
                map(str, range(size)),
                lambda text, lines=lines: (lines[int(text)], None),
                tmp_path / name,
                name=name,
                vocab_size=1000,
                max_tokens=126,
            )
        )
    return made


def batches_of(files, repeats=None, **options):
    options = {"batch_tokens": 128, "mask_rate": 0.2, "seed": 3} | options
    return MaskedBatches(files, repeats or [1] * len(files), TOKENIZER, **options)


def examples_in(batch):
    """The numbers of a batch's examples: their first tokens, masked or not."""
    first = batch.token_ids[:, 1].copy()
    for row, position, gold, weight in zip(range(len(first)), *([p[:, 0] for p in batch[1:]]), strict=True):
        if weight and position == 1:
            first[row] = gold
    return first.tolist()


def as_lists(batch):
    return [field.tolist() for field in batch]


def test_an_epoch_has_every_example_as_often_as_its_file_is_repeated(files):
    batches = batches_of(files, [1, 2.5, 0])
    drawn = Counter(n for number in range(batches.per_epoch) for n in examples_in(batches.batch(number)))
    assert all(drawn[number] == 1 for number in range(5, 45))
    of_second = [drawn[number] for number in range(45, 55)]
    assert sorted(of_second) == [2] * 5 + [3] * 5
    assert drawn[55] == 0


def test_a_batch_depends_on_its_number_alone(files):
    ascending = batches_of(files)
    expected = [as_lists(ascending.batch(number)) for number in range(40)]
    assert ascending.per_epoch * 2 < 40  # three epochs at least
    jumping = batches_of(files)
    for number in (39, 0, 17, 3, 38, 17):
        assert as_lists(jumping.batch(number)) == expected[number]
    assert jumping.per_epoch == ascending.per_epoch


def test_another_epoch_has_another_order_and_other_masks(files):
    batches = batches_of(files[:1], batch_tokens=10_000)
    assert batches.per_epoch == 1
    first, second = batches.batch(0), batches.batch(1)
    assert sorted(examples_in(first)) == sorted(examples_in(second))
    assert examples_in(first) != examples_in(second)


def test_every_batch_has_masks_of_its_own(tmp_path):
    ids = list(range(5, 27))
    file = write_tokens(
        ["line"] * 20, lambda _: (ids, None), tmp_path / "a", name="a", vocab_size=1000, max_tokens=126
    )
    batches = batches_of([file], batch_tokens=24)
    assert batches.per_epoch == 20
    masks = {tuple(batches.batch(number).positions[0].tolist()) for number in range(60)}
    assert len(masks) > 50


def test_the_seed_decides(files):
    first, again, other = (as_lists(batches_of(files, seed=seed).batch(0)) for seed in (1, 1, 2))
    assert first == again != other


def test_no_batch_has_more_tokens_than_allowed_padding_included(files):
    batches = batches_of(files, batch_tokens=96)
    shapes = [batches.batch(number).token_ids.shape for number in range(batches.per_epoch)]
    assert max(rows * length for rows, length in shapes) <= 96
    assert max(rows for rows, _ in shapes) > 3


def test_words_of_a_marked_corpus_are_masked_whole(tmp_path):
    marks = [True, False] * 10
    file = write_tokens(
        ["line"],
        lambda _: (list(range(5, 25)), marks),
        tmp_path / "words",
        name="a",
        vocab_size=1000,
        max_tokens=126,
    )
    batches = batches_of([file])
    for number in range(20):
        batch = batches.batch(number)
        places = batch.positions[0][batch.weights[0] == 1] - 1
        assert len(places) == 4
        assert (places[::2] % 2 == 0).all()
        assert (np.diff(places)[::2] == 1).all()


@pytest.mark.parametrize("repeats", [[0, 0, 0], [0, 0, 0.01]])
def test_an_epoch_without_examples_is_refused(files, repeats):
    with pytest.raises(InputError, match="none of the text"):
        batches_of(files, repeats)
