"""The batches of a masked-LM run: which examples, and which of their tokens are hidden."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nlpkit.bert.batches import draw_examples, plan_epoch
from nlpkit.bert.tokenizer import Tokenizer
from nlpkit.errors import InputError
from nlpkit.mlm.masking import LENGTH_MULTIPLE, MaskedBatch, mask_batch
from nlpkit.mlm.tokens import TokenFile

IntArray = npt.NDArray[np.int64]


class MaskedBatches:
    """Batches that are a pure function of their number and the seed, epoch after epoch."""

    def __init__(
        self,
        files: Sequence[TokenFile],
        repeats: Sequence[float],
        tokenizer: Tokenizer,
        *,
        batch_tokens: int,
        mask_rate: float,
        seed: int,
    ) -> None:
        """Name the corpus; nothing is read yet.

        Args:
            files: the corpus.
            repeats: how often an epoch reads each file; see `draw_examples`.
            tokenizer: of the files; it must have a [MASK].
            batch_tokens: the most tokens of a batch, padding included.
            mask_rate: share of each example to hide, in (0, 1).
            seed: of the order and the masks.

        Raises:
            InputError: an epoch would have no examples.
        """
        self._files = files
        self._repeats = repeats
        self._tokenizer = tokenizer
        self._batch_tokens = batch_tokens
        self._mask_rate = mask_rate
        self._seed = seed
        self._firsts = np.cumsum([0, *(len(file) for file in files)])
        lengths = np.concatenate([file.lengths for file in files]) + 2  # [CLS] and [SEP]
        self._lengths = -(-lengths // LENGTH_MULTIPLE) * LENGTH_MULTIPLE  # as row_length
        self._epoch = 0
        self._epoch_start = 0
        self._plan = self._plan_of(0)
        if not self._plan:
            raise InputError("an epoch would read none of the text", hint="a larger --repeat")

    @property
    def per_epoch(self) -> int:
        """The batches of the first epoch; others differ by a few."""
        return len(self._plan_of(0)) if self._epoch else len(self._plan)

    def batch(self, number: int) -> MaskedBatch:
        """Return batch `number`, counted over all epochs; cheap when numbers ascend."""
        if number < self._epoch_start:
            self._epoch, self._epoch_start, self._plan = 0, 0, self._plan_of(0)
        while number >= self._epoch_start + len(self._plan):
            self._epoch_start += len(self._plan)
            self._epoch += 1
            self._plan = self._plan_of(self._epoch)
        return self._masked(self._plan[number - self._epoch_start], number)

    def _plan_of(self, epoch: int) -> list[IntArray]:
        random = np.random.default_rng([self._seed, 0, epoch])
        chosen = draw_examples([len(file) for file in self._files], self._repeats, random)
        return [chosen[part] for part in plan_epoch(self._lengths[chosen], self._batch_tokens, random)]

    def _masked(self, examples: IntArray, number: int) -> MaskedBatch:
        places = np.searchsorted(self._firsts, examples, side="right") - 1
        found = [
            (self._files[place], int(e - self._firsts[place]))
            for place, e in zip(places, examples, strict=True)
        ]
        return mask_batch(
            [file.ids(example) for file, example in found],
            [file.word_starts(example) for file, example in found],
            np.random.default_rng([self._seed, 1, number]),
            mask_rate=self._mask_rate,
            tokenizer=self._tokenizer,
        )
