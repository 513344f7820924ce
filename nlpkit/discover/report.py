"""A list of words as one HTML page that needs nothing else: no network, no library, no second file.

The page itself, with its styles and its script, is report.html beside this module.
"""

import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from importlib.resources import files
from itertools import islice
from typing import TextIO

from nlpkit.records import CorpusStats, Word

_COLUMNS = [field.name for field in fields(Word)]
_ROWS_PER_BLOCK = 1000
# Inside a JSON string each of these may be written as an escape. Left as they are, "<" can end the
# script element or open a comment in it, some readers take U+2028 and U+2029 for line ends, and a
# lone surrogate cannot be written as UTF-8.
_UNSAFE = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


def write_report(words: Iterable[Word], stats: CorpusStats, out: TextIO, *, title: str) -> None:
    """Write a page with charts and a searchable table of the words.

    Args:
        words: In the order in which the table first shows them; read once, 1,000 at a time.
        stats: What was read to find them; shown in the head of the page.
        out: Where the page goes; a file must be open as UTF-8, which is what the page declares.
        title: Plain text; the page's heading and the browser's window title.

    Raises:
        ValueError: A figure of a word is infinite or not a number.

    Real figures keep six significant digits. Memory: one block of 1,000 words.
    """
    head, tail = _template()
    out.write(head.replace("{{title}}", html.escape(_encodable(title))))
    out.write(f'{{"corpus":{_json(asdict(stats))},"columns":{_json(_COLUMNS)},"blocks":[')
    for number, block in enumerate(_blocks(words)):
        out.write((",\n" if number else "\n") + block)
    out.write("]}")
    out.write(tail)


def _template() -> tuple[str, str]:
    """Read the page and return what stands before and after its data."""
    page = files("nlpkit.discover").joinpath("report.html").read_text(encoding="utf-8")
    head, tail = page.split("{{data}}")
    return head, tail


def _blocks(words: Iterable[Word]) -> Iterator[str]:
    """Yield the words as JSON, up to 1,000 at a time, each block a list of columns."""
    rows = map(_row, words)
    while block := list(islice(rows, _ROWS_PER_BLOCK)):
        yield _json(list(zip(*block, strict=True)))


def _row(word: Word) -> list[object]:
    """Return the fields of a word, in the order of `_COLUMNS`, in their shortest form."""
    values = (getattr(word, name) for name in _COLUMNS)
    return [_shorten(value) for value in values]


def _shorten(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return value


def _json(value: object) -> str:
    """Return compact JSON that is also safe between `<script>` and `</script>`."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def _encodable(text: str) -> str:
    """Replace lone surrogates, which a title made of a file's name can hold, by question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
