"""Makes a tokenizer's vocabulary from raw text: characters first, then pieces of Latin words and numbers."""

from __future__ import annotations

import string
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise

from nlpkit.bert.tokenizer import CONTINUED, END, MASK, PAD, START, UNKNOWN, chunk_pattern, words
from nlpkit.errors import InputError

NUM_UNUSED = 8  # free rows, so that a task can add tokens without another size
LEAST_COUNT = 3  # of a character that gets a row
PIECES_RATE = 0.1  # share of the rows for pieces of more than one letter or digit
LONGEST_NUMBER = 4  # digits in one piece: a year

_Pair = tuple[str, str]
_MOST_CHUNKS = 1 << 20  # different ones held while counting, about 150 megabytes


def make_vocabulary(lines: Iterable[str], size: int = 8000, *, lower_case: bool = True) -> list[str]:
    """Choose the tokens for a corpus.

    In this order: [PAD] [UNK] [CLS] [SEP] [MASK]; [unused1] to [unused8]; ASCII punctuation, digits and
    letters, the last two also with ##, so that no English word or number is ever unknown (no capitals under
    lower_case, which never meets them); the most frequent characters of at least 3 occurrences, those that
    continue words with ##; pieces of words and numbers, which get a tenth of the rows and what the characters
    leave. Equally frequent tokens are ordered by code point: the same text gives the same list.

    Args:
        lines: the corpus, read once.
        size: tokens at most; a small corpus may give fewer.
        lower_case: as the tokenizer's.

    Returns:
        Different tokens, line 0 of vocab.txt first.

    Raises:
        InputError: size leaves no room for characters.

    Cost: about 0.5 microseconds a code point; memory of a million different words at most (of a corpus with
    more, the rarest are forgotten on the way).
    """
    tokens = _fixed_tokens(lower_case)
    num_pieces = int(size * PIECES_RATE)
    if size <= len(tokens) + num_pieces:
        raise InputError(
            f"a vocabulary of {size} tokens has no room for Chinese characters",
            hint="some thousands are usual, 8000 by default",
        )
    counts = _count_words(lines, lower_case)
    characters = _frequent_characters(counts, set(tokens))
    tokens += characters[: size - len(tokens) - num_pieces]
    latin = {word: count for word, count in counts.items() if word.isascii() and count >= LEAST_COUNT}
    return tokens + learn_pieces(latin, size - len(tokens))


def learn_pieces(counts: Mapping[str, int], number: int) -> list[str]:
    """Learn pieces of words by joining the most frequent pair of neighbours again and again.

    Letters and digits are not joined to each other, nor more than four digits.

    Args:
        counts: how often each word occurs; words of ASCII letters and digits.
        number: pieces wanted.

    Returns:
        At most `number` different pieces of two and more characters, ## before those that continue a word, in
        the order in which they were learned.

    Cost: a pass over the different pairs for each piece, some milliseconds.
    Source: Sennrich et al. 2016, byte-pair encoding (arXiv:1508.07909), section 3.2, here with BERT's ##.
    """
    split = [[word[0], *(CONTINUED + letter for letter in word[1:])] for word in counts]
    weights = list(counts.values())
    pair_counts: Counter[_Pair] = Counter()
    holders: defaultdict[_Pair, set[int]] = defaultdict(set)  # the words that have, or had, a pair

    def count_pairs(index: int, weight: int) -> None:
        for pair in pairwise(split[index]):
            if _may_join(pair):
                pair_counts[pair] += weight
                holders[pair].add(index)

    for index, weight in enumerate(weights):
        count_pairs(index, weight)
    pieces: dict[str, None] = {}  # in order; two pairs can give the same piece
    while len(pieces) < number:
        best = min(pair_counts, key=lambda pair: (-pair_counts[pair], pair), default=None)
        if best is None or not pair_counts[best]:
            break
        pieces[_join(best)] = None
        for index in holders.pop(best):
            count_pairs(index, -weights[index])
            split[index] = _joined(split[index], best)
            count_pairs(index, weights[index])
        del pair_counts[best]
    return list(pieces)


def _fixed_tokens(lower_case: bool) -> list[str]:
    letters = string.digits + (string.ascii_lowercase if lower_case else string.ascii_letters)
    return [
        *(PAD, UNKNOWN, START, END, MASK),
        *(f"[unused{number}]" for number in range(1, NUM_UNUSED + 1)),
        *string.punctuation,
        *letters,
        *(CONTINUED + letter for letter in letters),
    ]


def _count_words(lines: Iterable[str], lower_case: bool) -> Counter[str]:
    """Count what WordPiece will see: ideographs, punctuation marks and normalised words."""
    chunks: Counter[str] = Counter()
    find = chunk_pattern(lower_case).findall
    for line in lines:
        chunks.update(find(line))
        if len(chunks) > _MOST_CHUNKS:
            chunks = _without_rare(chunks)
    counts: Counter[str] = Counter()
    for chunk, count in chunks.items():
        for word in words(chunk, lower_case):
            counts[word] += count
    return counts


def _without_rare(chunks: Counter[str]) -> Counter[str]:
    """Forget the rarest words, half of the room at least; single characters stay."""
    least = 2
    while len(chunks) > _MOST_CHUNKS // 2:
        chunks = Counter({chunk: n for chunk, n in chunks.items() if n >= least or len(chunk) == 1})
        least += 1
    return chunks


def _frequent_characters(counts: Mapping[str, int], known: set[str]) -> list[str]:
    """Return all but rare and known characters, the most frequent first, with ## inside words."""
    characters: Counter[str] = Counter()
    for word, count in counts.items():
        characters[word[0]] += count
        for letter in word[1:]:
            characters[CONTINUED + letter] += count
    frequent = [item for item in characters.items() if item[1] >= LEAST_COUNT and item[0] not in known]
    return [character for character, _ in sorted(frequent, key=lambda item: (-item[1], item[0]))]


def _may_join(pair: _Pair) -> bool:
    text = _join(pair).removeprefix(CONTINUED)
    return text.isalpha() or (text.isdigit() and len(text) <= LONGEST_NUMBER)


def _join(pair: _Pair) -> str:
    return pair[0] + pair[1].removeprefix(CONTINUED)


def _joined(parts: list[str], pair: _Pair) -> list[str]:
    """Join every occurrence of a pair, from the left."""
    joined: list[str] = []
    place = 0
    while place < len(parts):
        if tuple(parts[place : place + 2]) == pair:
            joined.append(_join(pair))
            place += 2
        else:
            joined.append(parts[place])
            place += 1
    return joined
