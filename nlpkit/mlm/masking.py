"""Batches of masked examples: which positions a model has to guess."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nlpkit.bert.tokenizer import Tokenizer
from nlpkit.errors import ModelError

LENGTH_MULTIPLE = 8  # lengths of batches; arithmetic on others is slower

IntArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]


class MaskedBatch(NamedTuple):
    """Examples with masked positions.

    Attributes:
        token_ids: with [CLS], [SEP], [MASK] and padding (0), shape (batch, length).
        positions: of the masked tokens, shape (batch, k), padded with 0.
        gold: the tokens that stood there, shape (batch, k).
        weights: 1 for a masked position and 0 for padding, shape (batch, k).
    """

    token_ids: IntArray
    positions: IntArray
    gold: IntArray
    weights: npt.NDArray[np.float32]


def mask_batch(
    examples: Sequence[IntArray],
    word_starts: Sequence[BoolArray],
    random: np.random.Generator,
    *,
    mask_rate: float,
    tokenizer: Tokenizer,
) -> MaskedBatch:
    """Mask a share of every example, whole words at a time.

    Every chosen token becomes [MASK]: Wettig et al. 2023 (arXiv:2202.08005) find nothing gained by
    keeping a tenth of them and exchanging another, as BERT does.

    Args:
        examples: token ids without special tokens.
        word_starts: whether each token starts a word; a word is masked whole.
        random: decides which words.
        mask_rate: share of each example to mask, at least one token of it.
        tokenizer: has the ids of [CLS], [SEP] and [MASK].

    Raises:
        ModelError: the vocabulary has no [MASK].
    """
    mask_id = tokenizer.mask_id
    if mask_id is None:
        raise ModelError("the vocabulary has no [MASK]", hint="train from scratch without --vocabulary")
    length = row_length(max(len(example) for example in examples))
    token_ids = np.zeros((len(examples), length), np.int32)
    chosen = []
    for row, (example, starts) in enumerate(zip(examples, word_starts, strict=True)):
        token_ids[row, 0] = tokenizer.start_id
        token_ids[row, 1 : len(example) + 1] = example
        token_ids[row, len(example) + 1] = tokenizer.end_id
        chosen.append(1 + _choose(starts, max(1, round(mask_rate * len(example))), random))
    most = max(len(positions) for positions in chosen)
    positions = np.zeros((len(examples), most), np.int32)
    weights = np.zeros((len(examples), most), np.float32)
    for row, found in enumerate(chosen):
        positions[row, : len(found)] = found
        weights[row, : len(found)] = 1
    gold = np.take_along_axis(token_ids, positions, 1)
    rows, columns = np.nonzero(weights)
    token_ids[rows, positions[rows, columns]] = mask_id
    return MaskedBatch(token_ids, positions, gold, weights)


def row_length(num_tokens: int) -> int:
    """Return the length of a row for so many tokens: with [CLS], [SEP] and some padding."""
    return -(-(num_tokens + 2) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE


def _choose(starts: BoolArray, budget: int, random: np.random.Generator) -> IntArray:
    """Choose words until about `budget` tokens are masked; return their tokens in order."""
    if starts.all():
        return np.sort(random.permutation(len(starts))[:budget])
    word_of = np.cumsum(starts) - starts[0]
    order = random.permutation(int(word_of[-1]) + 1)
    sizes = np.bincount(word_of)[order]
    # The word that crosses the budget is in when most of it fits; the first always is.
    words = order[: max(1, int(np.searchsorted(np.cumsum(sizes) - sizes / 2, budget)))]
    return np.flatnonzero(np.isin(word_of, words)).astype(np.int32)
