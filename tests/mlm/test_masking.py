"""Which tokens are hidden: so many, whole words, never a special one, and the gold beside them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpkit.bert.tokenizer import Tokenizer
from nlpkit.errors import ModelError
from nlpkit.mlm.masking import mask_batch, row_length

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENIZER = Tokenizer([*SPECIAL, *map(chr, range(0x4E00, 0x4E00 + 60))], lower_case=True)
PAD, UNKNOWN, START, END, MASK = range(5)

# Examples of ids that are no special tokens, each with the places where words start.
EXAMPLES = st.lists(
    st.lists(st.tuples(st.integers(5, 64), st.booleans()), min_size=4, max_size=40), min_size=1, max_size=6
)


def masked(examples, starts=None, rate=0.15, seed=0):
    examples = [np.array(example, np.int32) for example in examples]
    starts = starts or [np.ones(len(example), bool) for example in examples]
    return mask_batch(examples, starts, np.random.default_rng(seed), mask_rate=rate, tokenizer=TOKENIZER)


@given(EXAMPLES, st.floats(0.01, 0.9), st.integers(0, 99))
def test_the_gold_is_what_stood_there_and_nothing_else_changes(examples, rate, seed):
    ids = [[number for number, _ in example] for example in examples]
    starts = [np.array([mark for _, mark in example]) for example in examples]
    batch = masked(ids, starts, rate, seed)
    assert batch.token_ids.shape == (len(ids), row_length(max(map(len, ids))))
    assert batch.positions.shape == batch.gold.shape == batch.weights.shape
    for row, example in enumerate(ids):
        whole = [START, *example, END]
        places = batch.positions[row][batch.weights[row] == 1].tolist()
        assert places == sorted(set(places)) != []
        assert set(places) <= set(range(1, len(example) + 1))
        assert batch.gold[row][batch.weights[row] == 1].tolist() == [whole[place] for place in places]
        for place in places:
            whole[place] = MASK
        assert batch.token_ids[row].tolist() == whole + [PAD] * (batch.token_ids.shape[1] - len(whole))
        # Padding of the places comes last.
        assert batch.weights[row].tolist() == [1] * len(places) + [0] * (batch.weights.shape[1] - len(places))


@pytest.mark.parametrize(("length", "rate", "expected"), [(100, 0.15, 15), (10, 0.2, 2), (4, 0.01, 1)])
def test_the_share_of_every_example_is_masked(length, rate, expected):
    batch = masked([[7] * length] * 3, rate=rate)
    assert batch.weights.sum(1).tolist() == [expected] * 3


def test_every_token_is_masked_as_often_as_any_other():
    counts = np.zeros(20)
    for seed in range(600):
        counts[masked([range(5, 25)], rate=0.2, seed=seed).positions[0] - 1] += 1
    assert counts.sum() == 600 * 4
    assert counts.min() > 80  # 120 are expected, with a standard deviation of 10
    assert counts.max() < 160


def test_words_are_masked_whole_and_the_rate_holds():
    # Words of 1, 2, 3 and 4 tokens; an example begins in the middle of one.
    starts = np.array([0, 0, *([1, 1, 0, 1, 0, 0, 1, 0, 0, 0] * 4)], bool)
    word_of = np.cumsum(starts)
    hidden = 0
    for seed in range(300):
        batch = masked([[7] * len(starts)], [starts], seed=seed)
        chosen = batch.positions[0][batch.weights[0] == 1] - 1
        hidden += len(chosen)
        words = set(word_of[chosen])
        assert sorted(chosen) == [place for place, word in enumerate(word_of) if word in words]
    assert hidden / 300 / len(starts) == pytest.approx(0.15, abs=0.015)


def test_a_line_of_one_word_is_masked_altogether():
    starts = np.array([True, False, False, False])
    assert masked([[5, 6, 7, 8]], [starts]).token_ids[0].tolist() == [
        START,
        MASK,
        MASK,
        MASK,
        MASK,
        END,
        0,
        0,
    ]


def test_the_random_state_decides():
    batches = [masked([range(5, 60)], seed=seed).positions.tolist() for seed in (1, 1, 2)]
    assert batches[0] == batches[1] != batches[2]


@pytest.mark.parametrize(("tokens", "length"), [(4, 8), (6, 8), (7, 16), (126, 128)])
def test_rows_have_room_for_cls_and_sep_in_steps_of_eight(tokens, length):
    assert row_length(tokens) == length


def test_a_vocabulary_without_a_mask_is_refused():
    tokenizer = Tokenizer([*SPECIAL[:4], "一"], lower_case=True)
    with pytest.raises(ModelError, match=r"no \[MASK\]"):
        mask_batch(
            [np.array([4] * 4)],
            [np.ones(4, bool)],
            np.random.default_rng(0),
            mask_rate=0.15,
            tokenizer=tokenizer,
        )
