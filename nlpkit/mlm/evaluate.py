"""How well a masked language model guesses single Chinese characters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from nlpkit.bert.tokenizer import Tokenizer
from nlpkit.errors import InputError, ModelError
from nlpkit.records import MlmScore

if TYPE_CHECKING:
    from nlpkit.bert.encoder import MaskedLM

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]")
# Code points kept on each side of a question: a window of 126 tokens seldom reaches further.
_CONTEXT = 400


class Question(NamedTuple):
    """One character to guess."""

    text: str  # with its surroundings
    offset: int  # of the character, in code points of the text


def choose_questions(lines: Iterable[str], limit: int, seed: int) -> list[Question]:
    """Choose Han characters at random, each one of the text as likely as any other.

    The choice depends on the text and the seed alone, so that models with different tokenizers are
    asked the same questions.

    Args:
        lines: the text, read once.
        limit: how many; a text with fewer is asked whole.
        seed: of the choice.

    Returns:
        The questions in the order of the text.

    Cost: memory of about 4 x limit short texts, however long the text is.
    """
    random = np.random.default_rng(seed)
    kept: list[tuple[float, int, Question]] = []
    highest = 1.0
    number = 0
    for line in lines:
        offsets = [match.start() for match in HAN.finditer(line)]
        keys = random.random(len(offsets))
        smallest = np.argsort(keys)[:limit]  # more of one line cannot be among the chosen
        for place in smallest[keys[smallest] < highest]:
            kept.append((float(keys[place]), number + int(place), _question(line, offsets[place])))
        number += len(offsets)
        if len(kept) > 4 * limit:
            kept = sorted(kept)[:limit]
            highest = kept[-1][0]
    return [question for _, _, question in sorted(sorted(kept)[:limit], key=lambda item: item[1])]


def _question(line: str, offset: int) -> Question:
    start = max(0, offset - _CONTEXT)
    return Question(line[start : offset + _CONTEXT + 1], offset - start)


def score_model(
    name: str,
    guess: MaskedLM,
    tokenizer: Tokenizer,
    questions: Sequence[Question],
    *,
    window: int = 128,
    batch_tokens: int = 8192,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> MlmScore:
    """Ask a model for each character with only that one masked.

    Args:
        name: the model's, for the record.
        guess: token ids and positions to scores over the vocabulary.
        questions: as `choose_questions` returns them.
        window: tokens of a row, [CLS] and [SEP] included; the masked one stands as near to the
            middle as the line allows.
        batch_tokens: the most tokens given to the model at once.

    Raises:
        InputError: there are no questions.
        ModelError: the vocabulary has no [MASK], or the scores are not numbers.
    """
    if not questions:
        raise InputError("the text holds no Chinese character to guess")
    rows, positions, gold = _rows(questions, tokenizer, window)
    order = sorted(range(len(rows)), key=lambda number: -len(rows[number]))
    ranks = np.zeros(len(rows), np.int64)
    losses = np.zeros(len(rows))
    done = 0
    while done < len(order):
        size = max(1, batch_tokens // len(rows[order[done]]))
        part = order[done : done + size]
        logits = guess(_padded([rows[number] for number in part]), positions[part][:, None])[:, 0]
        if not np.isfinite(logits).all():
            raise ModelError(f"{name} gave scores that are not numbers", hint="--dtype float32")
        ranks[part], losses[part] = _rank_and_loss(logits, gold[part])
        done += len(part)
        progress(name, done, len(order))
    known = gold != tokenizer.unknown_id
    return MlmScore(
        model=name,
        tokens=len(rows),
        top1=float(np.mean(known & (ranks < 1))),
        top5=float(np.mean(known & (ranks < 5))),
        pseudo_perplexity=float(np.exp(losses.mean())),
    )


def _rows(
    questions: Sequence[Question], tokenizer: Tokenizer, window: int
) -> tuple[list[list[int]], IntArray, IntArray]:
    """Turn questions into masked rows, the places of the masks and the tokens that stood there."""
    if tokenizer.mask_id is None:
        raise ModelError("the model's vocabulary has no [MASK]: it is no masked language model")
    rows, positions, gold = [], [], []
    for text, offset in questions:
        encoding = tokenizer.encode(text)
        place = encoding.starts.index(offset)
        start = max(0, min(place - (window - 2) // 2, len(encoding) - (window - 2)))
        row = [tokenizer.start_id, *encoding.ids[start : start + window - 2], tokenizer.end_id]
        rows.append(row)
        positions.append(place - start + 1)
        gold.append(encoding.ids[place])
        row[positions[-1]] = tokenizer.mask_id
    return rows, np.array(positions), np.array(gold)


def _padded(rows: Sequence[Sequence[int]]) -> npt.NDArray[np.int64]:
    token_ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for number, row in enumerate(rows):
        token_ids[number, : len(row)] = row
    return token_ids


def _rank_and_loss(logits: FloatArray, gold: IntArray) -> tuple[IntArray, npt.NDArray[np.float64]]:
    """Return how many others score as high as the right token or higher, and its negative log probability.

    In 16 bits scores are often equal; a guess counts only when the right token stands out.
    """
    right = np.take_along_axis(logits, gold[:, None], 1)
    highest = logits.max(1, keepdims=True)
    normaliser = highest + np.log(np.exp((logits - highest).astype(np.float64)).sum(1, keepdims=True))
    return (logits >= right).sum(1) - 1, (normaliser - right)[:, 0].astype(np.float64)
