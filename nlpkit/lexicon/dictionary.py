"""Dictionary files: words with their counts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from nlpkit.errors import InputError
from nlpkit.text import Line, iter_lines


def read_dictionary(path: Path) -> dict[str, float]:
    """Read words with their counts, in the order of the file; a word that stands twice has the sum.

    A line is `word`, `word count` or `word count tag`, parted by blanks or tabs as in jieba's
    dictionaries; a word without count has 1. Lines of JSON Lines are taken by "word" and "count", as
    `nlpkit discover` writes them.

    Raises:
        InputError: The file is missing or a line is malformed.
    """
    words: dict[str, float] = {}
    for word, count in _entries(path, iter_lines([path], encoding="utf-8", on_error="fail", text_key=None)):
        words[word] = words.get(word, 0.0) + count
    return words


def _entries(path: Path, lines: Iterable[Line]) -> Iterator[tuple[str, float]]:
    for line in lines:
        text = line.text.strip()
        if not text:
            continue
        try:
            word, count = _from_json(text) if text.startswith("{") else _from_fields(text)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}:{line.number}: {error}", hint="a line is: word count; the count is a number"
            ) from None
        if not 0 <= count < float("inf"):
            raise InputError(f"{path}:{line.number}: the count {count} is out of range")
        yield word, count


def _from_json(text: str) -> tuple[str, float]:
    record = json.loads(text)
    return str(record["word"]), float(record.get("count", 1))


def _from_fields(text: str) -> tuple[str, float]:
    word, *rest = text.split()
    return word, float(rest[0]) if rest else 1.0


def read_words(path: Path) -> list[str]:
    """Read only the words of a dictionary or of what `nlpkit discover` wrote, in the order of the file.

    Raises:
        InputError: The file is missing or a line of JSON is malformed.
    """
    words = []
    for line in iter_lines([path], encoding="utf-8", on_error="fail", text_key=None):
        text = line.record["text"] if line.record else line.text
        words += [_word_of(text, f"{path}:{line.number}")] if text.strip() else []
    return words[1:] if words[:1] == ["word"] else words  # the header of a TSV file


def _word_of(text: str, place: str) -> str:
    if not text.startswith("{"):
        return text.split(None, 1)[0]
    try:
        return str(json.loads(text)["word"])
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{place}: not a record with a word") from None
