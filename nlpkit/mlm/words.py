"""Lines as token ids, with the words of a lexicon marked so that they are masked whole."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

from nlpkit.bert.tokenizer import CONTINUED, Tokenizer
from nlpkit.lexicon.dictionary import read_dictionary
from nlpkit.lexicon.segmenter import LexiconSegmenter
from nlpkit.mlm.tokens import Tokens


def plain_tokens(tokenizer: Tokenizer) -> Tokens:
    """Return the function that makes a line's ids and lets every token be masked by itself."""
    return lambda text: (tokenizer.ids(text), None)


class WordTokens:
    """Marks the first token of every word; the words are those of a lexicon."""

    def __init__(self, tokenizer: Tokenizer, lexicon: Path) -> None:
        """Read the lexicon: as `discover` writes it, or a dictionary of jieba's form."""
        self._tokenizer = tokenizer
        self._segmenter = LexiconSegmenter(read_dictionary(lexicon))

    def __call__(self, text: str) -> tuple[list[int], list[bool]]:
        """Return the ids of a line and whether each token starts a word."""
        encoding = self._tokenizer.encode(text)
        (words,) = self._segmenter.cut([text])
        ends = list(accumulate(map(len, words)))
        marks = []
        word = 0
        before = -1
        for start, number in zip(encoding.starts, encoding.ids, strict=True):
            while ends[word] <= start:
                word += 1
            piece = self._tokenizer.id_to_token[number].startswith(CONTINUED)
            marks.append(word != before and not piece)
            before = word
        return encoding.ids, marks
