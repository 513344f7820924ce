"""BERT's tokenizer: text to token ids, with the place of every token in the text as given.

The rules are those of Google's uncased and cased BERT, in this order:

1. U+0000, U+FFFD and control characters (Cc, Cf) are dropped; tab, newline, carriage return, Zs, U+2028 and
   U+2029 separate words and are no tokens.
2. An ideograph is a word of its own, and so is a punctuation mark (P* and the ASCII symbols).
3. With lower_case: each code point is lower-cased, decomposed (NFD) and loses its combining marks (Mn).
4. WordPiece: each word is cut into the longest pieces of the vocabulary from the left, those after the first
   written with ##. A word that cannot be cut, or of more than 100 code points, is [UNK].

Where the programs in use differ from each other, this one follows:
- Google and bert4keras in that private code points are [UNK]; Hugging Face drops them;
- Hugging Face in the limit of 100 (bert4keras has 200) and in lower-casing code point by code point, as its
  fast tokenizers do: a capital sigma at the end of a word becomes the ordinary one;
- bert4keras in that "[MASK]" written in a text is text, so that input cannot forge special tokens;
- nobody in that planes 2 and 3 are ideographs altogether; the others know them up to extension E.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from nlpkit.errors import ModelError

PAD, UNKNOWN, START, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
CONTINUED = "##"  # begins a piece that continues a word
LONGEST_WORD = 100

_SPACES = " \t\n\r\u2028\u2029"  # and the category Zs
_IDEOGRAPHS = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CACHED_PIECES = 1 << 17  # at most; a full cache takes some tens of megabytes

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Encoding:
    """The tokens of one text, without [CLS] and [SEP].

    Attributes:
        ids: token ids.
        starts: where each token begins, in code points of the text as given.
        ends: where each token ends (half-open). Combining marks that lower-casing drops belong to the
            character before them. Tokens made of parts of one code point share its place.
    """

    ids: list[int]
    starts: list[int]
    ends: list[int]

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.ids)


class Tokenizer:
    """Turns text into token ids and back.

    Attributes:
        id_to_token: the vocabulary.
        token_to_id: its inverse; of equal tokens the last counts.
        lower_case: whether text is lower-cased and loses its accents.
        pad_id: always 0.
        unknown_id, start_id, end_id: of [UNK], [CLS] and [SEP].
        mask_id: of [MASK]; None when the vocabulary has none.

    Raises:
        ModelError: the vocabulary lacks one of [PAD] [UNK] [CLS] [SEP], or [PAD] is not first.
    """

    def __init__(self, vocabulary: Sequence[str], lower_case: bool) -> None:
        """Index the vocabulary."""
        self.id_to_token = list(vocabulary)
        self.token_to_id = {token: number for number, token in enumerate(vocabulary)}
        self.lower_case = lower_case
        missing = [token for token in (PAD, UNKNOWN, START, END) if token not in self.token_to_id]
        if missing:
            raise ModelError(
                f"the vocabulary has no {' '.join(missing)}", hint="vocab.txt has one token a line, as BERT's"
            )
        if self.id_to_token[0] != PAD:
            raise ModelError(
                f"the vocabulary begins with {self.id_to_token[0]!r} and not with {PAD}",
                hint="only models that pad with token 0 can be used",
            )
        self.pad_id = 0
        self.unknown_id = self.token_to_id[UNKNOWN]
        self.start_id = self.token_to_id[START]
        self.end_id = self.token_to_id[END]
        self.mask_id = self.token_to_id.get(MASK)
        self._longest = max(map(len, self.id_to_token))
        self._find = chunk_pattern(lower_case)
        self._ids = _Cache(self._chunk_ids)
        self._places = _Cache(self._chunk_places)

    def ids(self, text: str) -> list[int]:
        """Return the token ids of a text, the same as `encode(text).ids`.

        Cost: about 0.3 microseconds a code point of Chinese text.
        """
        return list(chain.from_iterable(map(self._ids.__getitem__, self._find.findall(text))))

    def encode(self, text: str) -> Encoding:
        """Return the token ids of a text and the place of each token in it."""
        encoding = Encoding([], [], [])
        add_id, add_start, add_end = encoding.ids.append, encoding.starts.append, encoding.ends.append
        for match in self._find.finditer(text):
            origin = match.start()
            for token_id, start, end in self._places[match[0]]:
                add_id(token_id)
                add_start(origin + start)
                add_end(origin + end)
        return encoding

    def decode(self, ids: Iterable[int]) -> str:
        """Join tokens to readable text.

        Words that follow each other get a space between them; all other white space of the original is lost.
        [PAD], [CLS] and [SEP] are left out, [UNK] and [MASK] are written.

        Raises:
            IndexError: an id is not in the vocabulary.
        """
        parts: list[str] = []
        after_word = False
        for token_id in ids:
            if token_id in (self.pad_id, self.start_id, self.end_id):
                continue
            if token_id < 0:
                raise IndexError(f"token id {token_id}")
            token = self.id_to_token[token_id]
            continues = token.startswith(CONTINUED) and len(token) > len(CONTINUED)
            is_word = bool(token) and not is_alone(token[0])
            if is_word and after_word:
                parts.append(" ")
            parts.append(token[len(CONTINUED) :] if continues else token)
            after_word = is_word or continues
        return "".join(parts)

    def _chunk_ids(self, chunk: str) -> tuple[int, ...]:
        return tuple(token_id for token_id, _, _ in self._chunk_places(chunk))

    def _chunk_places(self, chunk: str) -> tuple[tuple[int, int, int], ...]:
        """Return id, start and end of every token of a chunk, counted from its first code point."""
        found: list[tuple[int, int, int]] = []
        for word in _words(chunk, self.lower_case):
            cuts = self._cut("".join(letter.text for letter in word))
            if cuts is None:
                found.append((self.unknown_id, word[0].start, word[-1].end))
                continue
            for token_id, first, last in cuts:
                found.append((token_id, word[first].start, word[last].end))
        return tuple(found)

    def _cut(self, word: str) -> list[tuple[int, int, int]] | None:
        """Cut a word into the longest pieces: id, index of the first and of the last character."""
        if len(word) > LONGEST_WORD:
            return None
        pieces: list[tuple[int, int, int]] = []
        start = 0
        while start < len(word):
            mark = CONTINUED if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                token_id = self.token_to_id.get(mark + word[start:end])
                if token_id is not None:
                    break
            else:
                return None
            pieces.append((token_id, start, end - 1))
            start = end
        return pieces


def words(chunk: str, lower_case: bool) -> list[str]:
    """Return what WordPiece cuts: the words of a chunk (see chunk_pattern) after normalisation."""
    return ["".join(letter.text for letter in word) for word in _words(chunk, lower_case)]


@functools.cache
def chunk_pattern(lower_case: bool) -> re.Pattern[str]:
    """Return a pattern that finds the chunks of a text, which can be tokenized one by one.

    A chunk is an ideograph or punctuation mark, or a run of anything else but white space. Combining marks
    that lower-casing will drop stay with the ideograph before them.

    Cost: a tenth of a second at the first call, which looks at every code point.
    """
    alone = _IDEOGRAPHS + _ranges(_is_punctuation)
    spaces = _SPACES + _ranges(lambda character: unicodedata.category(character) == "Zs")
    marks = f"[{_ranges(_is_mark)}]*" if lower_case else ""
    return re.compile(f"[{alone}]{marks}|[^{alone}{spaces}]+")


def is_alone(character: str) -> bool:
    """Tell whether a character is an ideograph or a punctuation mark, which makes a word by itself."""
    return is_ideograph(character) or _is_punctuation(character)


def is_ideograph(character: str) -> bool:
    """Tell whether BERT takes a character for a Chinese one: the blocks of CJK ideographs."""
    return (
        "\u4e00" <= character <= "\u9fff"
        or "\u3400" <= character <= "\u4dbf"
        or "\uf900" <= character <= "\ufaff"
        or "\U00020000" <= character <= "\U0003ffff"
    )


@dataclass(slots=True)
class _Letter:
    """One normalised code point and where it came from in its chunk."""

    text: str
    start: int
    end: int


class _Cache(dict[str, _Value]):
    """Keeps the results of a function of chunks; begins again when it is full."""

    def __init__(self, function: Callable[[str], _Value]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, chunk: str) -> _Value:
        value = self._function(chunk)
        if len(chunk) <= LONGEST_WORD:
            if len(self) >= _CACHED_PIECES:
                self.clear()
            self[chunk] = value
        return value


def _words(chunk: str, lower_case: bool) -> list[list[_Letter]]:
    """Normalise a chunk and cut it where normalisation brought forth punctuation, as in U+2260."""
    found: list[list[_Letter]] = []
    open_word = False  # whether the next letter continues the last word
    for letter in _letters(chunk, lower_case):
        alone = is_alone(letter.text)
        if open_word and not alone:
            found[-1].append(letter)
        else:
            found.append([letter])
        open_word = not alone
    return found


def _letters(chunk: str, lower_case: bool) -> list[_Letter]:
    letters: list[_Letter] = []
    for place, character in enumerate(chunk):
        if _is_dropped(character):
            continue
        kept = _normalized(character) if lower_case else character
        if not kept and letters:
            letters[-1].end = place + 1
        letters.extend(_Letter(part, place, place + 1) for part in kept)
    return letters


def _normalized(character: str) -> str:
    return "".join(part for part in unicodedata.normalize("NFD", character.lower()) if not _is_mark(part))


def _is_dropped(character: str) -> bool:
    return character in "\0\ufffd" or unicodedata.category(character) in ("Cc", "Cf")


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) == "Mn"


def _is_punctuation(character: str) -> bool:
    ascii_symbol = "!" <= character <= "~" and not character.isalnum()
    return ascii_symbol or unicodedata.category(character).startswith("P")


def _ranges(belongs: Callable[[str], bool]) -> str:
    """Return the code points with a property as the inside of a character class, the ends escaped."""
    # Nothing but ideographs and unassigned code points lies between U+1FFFF and U+E0000.
    found: list[list[int]] = []
    for code in chain(range(0x20000), range(0xE0000, 0xE0200)):
        if belongs(chr(code)):
            if found and found[-1][1] == code - 1:
                found[-1][1] = code
            else:
                found.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in found)
