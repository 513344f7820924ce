"""Batches of examples of similar length, in an order that only the seed and the epoch decide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

# Examples are sorted by length within pools of this many batches: enough that a batch has little
# padding, few enough that the batches of an epoch still mix all of the corpus.
POOL_BATCHES = 64


def plan_epoch(
    lengths: npt.NDArray[np.int32], batch_tokens: int, random: np.random.Generator
) -> list[IntArray]:
    """Divide examples into batches of similar length.

    Args:
        lengths: tokens of each example, shape (n,), each at least 1.
        batch_tokens: the most tokens of a batch, padding included; an example longer than this
            makes a batch of its own.
        random: decides the order; the same state gives the same plan.

    Returns:
        The numbers of each batch's examples; every example is in one batch.
    """
    order = random.permutation(len(lengths))
    pool = max(1, int(POOL_BATCHES * batch_tokens / max(1.0, float(lengths.mean())))) if len(order) else 1
    batches = []
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        batches += _cut(part[np.argsort(lengths[part], kind="stable")], lengths, batch_tokens)
    return [batches[number] for number in random.permutation(len(batches))]


def _cut(ascending: IntArray, lengths: npt.NDArray[np.int32], batch_tokens: int) -> list[IntArray]:
    """Cut examples that ascend in length into batches."""
    batches = []
    start = 0
    sizes = lengths[ascending].tolist()
    for end, size in enumerate(sizes):
        if (end - start + 1) * size > batch_tokens and end > start:
            batches.append(ascending[start:end])
            start = end
    if start < len(ascending):
        batches.append(ascending[start:])
    return batches


def draw_examples(sizes: Sequence[int], repeats: Sequence[float], random: np.random.Generator) -> IntArray:
    """Choose the examples of one epoch from several files that follow each other.

    Args:
        sizes: examples of each file.
        repeats: how often an epoch reads each file; .5 reads a random half, 2.5 reads all twice and
            a random half again.
        random: decides which.

    Returns:
        Example numbers, those of the first file starting at 0.
    """
    chosen = []
    first = 0
    for size, repeat in zip(sizes, repeats, strict=True):
        whole, rest = divmod(repeat, 1)
        chosen += [np.arange(first, first + size)] * int(whole)
        chosen.append(np.sort(first + random.permutation(size)[: round(rest * size)]))
        first += size
    return np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
