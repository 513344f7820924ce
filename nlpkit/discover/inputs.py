"""What discovery compares with: dictionaries of known words, and background corpora."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nlpkit.errors import InputError, MissingDependencyError
from nlpkit.ngram.saved import MAGIC, Saved, is_saved_counts, load_counts
from nlpkit.text import open_sources

JIEBA = "jieba"


def dictionary_path(name: Path) -> Path:
    """The path of a dictionary; "jieba" is the one that jieba brings, read without loading jieba.

    Raises:
        MissingDependencyError: jieba is not installed.
    """
    if str(name) != JIEBA:
        return name
    spec = find_spec("jieba")
    path = Path(spec.origin).with_name("dict.txt") if spec and spec.origin else None
    if path is None or not path.is_file():
        raise MissingDependencyError("jieba's dictionary is not there", hint="pip install jieba")
    return path


@contextmanager
def open_known(names: Sequence[Path], *, spool_bytes: int, tmp: Path | None) -> Iterator[list[Any]]:
    """Open dictionaries as bytes, a word at the start of each line.

    Raises:
        InputError: One is missing, or is not UTF-8.
    """
    paths = [dictionary_path(name) for name in names]
    with open_sources(paths, spool_bytes=spool_bytes, tmp=tmp) as sources:
        for source in sources:
            try:
                str(source.data, "utf-8")
            except UnicodeDecodeError as error:
                line = bytes(source.data[: error.start]).count(b"\n") + 1
                raise InputError(
                    f"{source.name}:{line}: not UTF-8",
                    hint="a dictionary is text, a word a line",
                ) from None
        yield [source.data for source in sources]


@contextmanager
def open_background(
    paths: Sequence[Path],
    *,
    encoding: str,
    report: Callable[[str], None],
    spool_bytes: int,
    tmp: Path | None,
) -> Iterator[list[Any | Saved]]:
    """Open background corpora: saved counts as such, all else as text in `encoding`."""
    saved = [path for path in paths if _is_saved(path)]
    texts = [path for path in paths if path not in saved]
    with open_sources(texts, encoding=encoding, report=report, spool_bytes=spool_bytes, tmp=tmp) as sources:
        yield [*map(load_counts, saved), *[source.data for source in sources]]


def _is_saved(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return is_saved_counts(file.read(len(MAGIC)))
    except OSError:
        return False  # open_sources says what is wrong
