"""The result records. Their field order is the column order of every output format."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """One word that `nlpkit discover` found.

    Attributes:
        word: The word as it stands in the text.
        count: Exact number of occurrences in the text, overlapping ones included.
        score: What the list is sorted by, highest first; see docs/discover.md for the formula.
        cohesion: Least pointwise mutual information over the splits, natural log; 0 for a word of one symbol.
        left_entropy: Entropy of the symbols that stand before the word, in nats.
        right_entropy: Entropy of the symbols that stand after the word, in nats.
        known: Whether a dictionary lists the word.
        first: Offset of the first occurrence, in code points of the input as read, files joined; -1 if only
            saved counts know the word.
        contexts: Up to three occurrences of the word with their surroundings.
    """

    word: str
    count: int
    score: float
    cohesion: float
    left_entropy: float
    right_entropy: float
    known: bool
    first: int
    contexts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CorpusStats:
    """What was read to find the words.

    Attributes:
        num_bytes: Bytes of UTF-8 text.
        num_code_points: Code points, broken sequences counted as one each.
        num_symbols: Symbols that were counted: characters, and Latin or digit runs as one each.
        num_distinct_symbols: How many of them are different.
        num_broken: Broken UTF-8 sequences; each is a break in the text.
        first_broken: Code-point offset of the first of them, -1 where there is none.
        min_count: The least count a word needed.
    """

    num_bytes: int
    num_code_points: int
    num_symbols: int
    num_distinct_symbols: int
    num_broken: int
    first_broken: int
    min_count: int


@dataclass(frozen=True, slots=True)
class MlmScore:
    """How well a masked language model guesses single Chinese characters.

    Attributes:
        model: What it was called by.
        tokens: Number of characters asked for; one outside the vocabulary counts as wrong.
        top1: Share of them that the model holds most likely, in [0, 1].
        top5: Share that is among its five most likely tokens.
        pseudo_perplexity: exp of the mean negative log probability of the right token; a character
            outside the vocabulary has the probability of [UNK].
    """

    model: str
    tokens: int
    top1: float
    top5: float
    pseudo_perplexity: float
