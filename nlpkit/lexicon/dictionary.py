"""Dictionary files: words with their counts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from nlpkit.errors import InputError
from nlpkit.text import Line, iter_lines

_HINT = "a lexicon is UTF-8 text, `word count` a line; nlpkit discover --format jieba writes one"
_MOST_TOKENS = 1e15  # beyond which sums of counts are not exact


def read_dictionary(path: Path) -> dict[str, float]:
    """Read words with their counts, in the order of the file; a word that stands twice has the sum.

    A line is `word`, `word count` or `word count tag`, parted by blanks or tabs as in jieba's
    dictionaries; a word without count has 1.

    Raises:
        InputError: The file is missing or a line is malformed.
    """
    words: dict[str, float] = {}
    try:
        for word, count in _entries(path, iter_lines([path], on_error="fail")):
            words[word] = words.get(word, 0.0) + count
    except InputError as error:
        raise InputError(str(error), hint=_HINT) from None
    if not words:
        raise InputError(f"{path}: no word in it", hint=_HINT)
    if sum(words.values()) > _MOST_TOKENS:
        raise InputError(f"{path}: the counts add up to more than {_MOST_TOKENS:.0e}")
    return words


def _entries(path: Path, lines: Iterable[Line]) -> Iterator[tuple[str, float]]:
    for line in lines:
        word, *rest = line.text.split() or [""]
        try:
            count = float(rest[0]) if rest else 1.0
        except ValueError:
            count = -1.0
        if not 0 <= count < float("inf") or line.record is not None or word.startswith("{"):
            raise InputError(f"{path}:{line.number}: not a word with its count")
        if word:
            yield word, count


def read_words(path: Path) -> list[str]:
    """Read only the words of a dictionary or of what `nlpkit discover` wrote, in the order of the file.

    Raises:
        InputError: The file is missing or a line of JSON is malformed.
    """
    words = []
    key = "word" if path.suffix.lower() in {".jsonl", ".ndjson"} else None
    for line in iter_lines([path], encoding="utf-8", on_error="fail", text_key=key):
        if line.text.strip():
            words.append(line.text if key else _word_of(line.text, f"{path}:{line.number}"))
    return words[1:] if words[:1] == ["word"] else words  # the header of a TSV file


def _word_of(text: str, place: str) -> str:
    if not text.startswith("{"):
        return text.split(None, 1)[0]
    try:
        return str(json.loads(text)["word"])
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{place}: not a record with a word") from None
