"""Text as it comes in: whole sources for the counting kernel, lines for everything else."""

import json
import logging
import mmap
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from nlpkit.errors import InputError
from nlpkit.memory import Spool
from nlpkit.sources import (
    ARCHIVES,
    BREAK,
    BROKEN,
    LONGEST_MARK,
    is_utf8,
    map_file,
    mark_length,
    open_file,
    source_name,
    utf8_pieces,
)

OnError = Literal["skip", "fail"]
Report = Callable[[str], None]

_DEFAULT_KEY = "text"
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True)
class Source:
    """One input as UTF-8 bytes that can be read many times over.

    Attributes:
        name: The path as given, or "<stdin>".
        data: The bytes, without a byte-order mark; broken UTF-8 is left in place.
    """

    name: str
    data: mmap.mmap | bytes | memoryview


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text, or the text of one JSON record.

    Attributes:
        text: The text without its line ending.
        record: The whole JSON record, None for plain text.
        number: The line's number in its file, from 1.
        ending: What ended the line: a newline, CRLF, or nothing at the end of a file.
    """

    text: str
    record: dict[str, Any] | None
    number: int
    ending: Literal["\n", "\r\n", ""]


class _Problems:
    """Count what was wrong with the input and remember the first, or fail at once."""

    def __init__(self, on_error: OnError, what: str) -> None:
        self._on_error = on_error
        self._what = what
        self._count = 0
        self._first = ""

    def add(self, place: str, reason: str, count: int = 1) -> None:
        if self._on_error == "fail":
            raise InputError(f"{place}: {reason}", hint="--on-error skip goes on after it")
        self._first = self._first or f"{place}: {reason}"
        self._count += count

    def tell(self, report: Report | None, *, anything_good: bool = True) -> None:
        if self._count and not anything_good:
            raise InputError(f"not one good record; the first was {self._first}")
        if self._count:
            # Never silent: without a callback the log tells, on standard error by default.
            report = report or logging.getLogger(__name__).warning
            report(f"{self._what}: {self._count}; the first at {self._first}")


@contextmanager
def open_sources(
    paths: Sequence[Path],
    *,
    encoding: str = "utf-8",
    text_key: str | None = None,
    on_error: OnError = "skip",
    spool_bytes: int,
    tmp: Path | None = None,
    report: Report | None = None,
) -> Iterator[list[Source]]:
    """Make every input a buffer of UTF-8 bytes, valid inside the `with` block.

    Plain UTF-8 files are memory-mapped, standard input too when it is such a file (from where it
    stands). Streams, archives, other encodings and JSON Lines are spooled, all into one spool.
    A mapped file must not shrink while it is read.

    Args:
        paths: Files; "-" is standard input. Endings tell archives (.gz .xz .zst .zstd) and JSON
            Lines (.jsonl .ndjson, also before an archive's ending).
        encoding: Any text encoding of Python; its wrong bytes become the byte FF, so that they
            are broken UTF-8 as well.
        text_key: Key of the text in JSON Lines. If given, every file is read as JSON Lines;
            otherwise those by their ending, with the key "text". A newline follows each text.
        on_error: What a malformed record does: skipped and counted, or the end.
        spool_bytes: How much of the spool may be in memory, in bytes.
        tmp: Folder for the spool when it is larger; None is the system's temporary folder.
        report: Told once how many records were skipped; None logs a warning instead.

    Yields:
        One source for each path, in order; the data of an empty file are b"".

    Raises:
        InputError: a file is missing, unreadable, a folder, a damaged or truncated archive,
            UTF-16 where UTF-8 was promised, or has a malformed record under "fail".
        OutputError: no room in `tmp`.
        MissingDependencyError: a zstd archive without the package zstandard.
        ValueError: unknown encoding.

    Cost: memory of spool_bytes, a piece of 64 KiB, and the longest record of JSON Lines.
    """
    skipped = _Problems(on_error, "records skipped")
    utf8 = is_utf8(encoding)
    with ExitStack() as stack:
        spool = Spool(spool_bytes, tmp)
        stack.callback(spool.close)
        found: list[mmap.mmap | memoryview | slice] = []
        for path in paths:
            key = _record_key(path, text_key)
            with open_file(path) as file:
                if utf8 and key is None and path.suffix.lower() not in ARCHIVES:
                    mapped = map_file(file, path)
                    if mapped is not None:
                        found.append(_map(*mapped, path, stack))
                        continue
                start = spool.size
                pieces = utf8_pieces(file, path, encoding)
                for piece in pieces if key is None else _texts(pieces, path, key, skipped):
                    spool.write(piece)
                found.append(slice(start, spool.size))
        skipped.tell(report, anything_good=bool(spool.size or len(paths) > 1))
        spooled = spool.view()
        stack.callback(_let_go, spooled.release)
        sources = []
        for path, data in zip(paths, found, strict=True):
            if isinstance(data, slice):
                data = spooled[data]
                stack.callback(_let_go, data.release)
            sources.append(Source(source_name(path), data if len(data) else b""))
        yield sources


def _map(mapped: mmap.mmap, start: int, path: Path, stack: ExitStack) -> mmap.mmap | memoryview:
    """Return the map from `start` on without its byte-order mark, a copy of nothing."""
    stack.callback(_let_go, mapped.close)
    start += mark_length(mapped[start : start + LONGEST_MARK], path)
    if start == 0:
        return mapped
    view = memoryview(mapped)[start:]
    stack.callback(_let_go, view.release)
    return view


def _let_go(release: Callable[[], None]) -> None:
    # An array that still looks at the data, as in the frames of a traceback, keeps them alive.
    with suppress(BufferError):
        release()


def iter_lines(
    paths: Iterable[Path],
    *,
    encoding: str = "utf-8",
    text_key: str | None = None,
    on_error: OnError = "skip",
    report: Report | None = None,
) -> Iterator[Line]:
    """Yield the lines of all inputs, each as soon as it is there.

    Empty lines of plain text are lines; those of JSON Lines are passed over. Broken sequences
    become U+FFFD.

    Args:
        paths: As for open_sources.
        encoding: As for open_sources.
        text_key: As for open_sources.
        on_error: What broken bytes and malformed records do: counted, the record skipped, or
            the end.
        report: Told at the end, once how many sequences were broken and once how many records
            were skipped, with the first place of each; None logs warnings instead.

    Raises:
        InputError: as open_sources, and broken bytes under "fail".
        MissingDependencyError: as open_sources.
        ValueError: unknown encoding.

    Cost: memory of one line and a piece of 64 KiB.
    """
    broken = _Problems(on_error, "broken byte sequences, now U+FFFD")
    skipped = _Problems(on_error, "records skipped")
    anything_good = False
    for path in paths:
        key = _record_key(path, text_key)
        with open_file(path) as file:
            pieces = utf8_pieces(file, path, encoding)
            for number, line in enumerate(_split_lines(pieces), 1):
                place = f"{source_name(path)}:{number}"
                text, ending = _split_ending(line.decode("utf-8", BREAK))
                if num_broken := text.count(BROKEN):
                    broken.add(place, f"not {encoding}", num_broken)
                    text = text.replace(BROKEN, "\ufffd")
                if key is None:
                    anything_good = True
                    yield Line(text, None, number, ending)
                elif text and not text.isspace():
                    try:
                        record = _parse_record(text, key)
                    except ValueError as error:
                        skipped.add(place, str(error))
                        continue
                    if _SURROGATE_ESCAPE.search(text):
                        record, num_lone = _paired(record)
                        if num_lone:
                            broken.add(place, "half of a surrogate pair", num_lone)
                    anything_good = True
                    yield Line(record[key], record, number, ending)
    broken.tell(report)
    skipped.tell(report, anything_good=anything_good)


def _split_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines with their endings; only a newline ends a line."""
    begun: list[bytes] = []
    for piece in pieces:
        for part in BytesIO(piece):
            begun.append(part)
            if part.endswith(b"\n"):
                yield b"".join(begun)
                begun.clear()
    if begun:
        yield b"".join(begun)


def _split_ending(line: str) -> tuple[str, Literal["\n", "\r\n", ""]]:
    if line.endswith("\r\n"):
        return line[:-2], "\r\n"
    if line.endswith("\n"):
        return line[:-1], "\n"
    return line, ""


def _record_key(path: Path, text_key: str | None) -> str | None:
    """Return the key of the text in a file's records, or None for a file of plain text."""
    if text_key is not None:
        return text_key
    inner = Path(path.stem) if path.suffix.lower() in ARCHIVES else path
    return _DEFAULT_KEY if inner.suffix.lower() in {".jsonl", ".ndjson"} else None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"not JSON: {name} is no number")


def _parse_record(line: str, key: str) -> dict[str, Any]:
    """Read a record and make sure that it has a text; ValueError gives the reason if not."""
    try:
        record = json.loads(line, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"not JSON: {error.msg.lower().removesuffix(' at')} at column {error.colno}"
        ) from error
    except RecursionError as error:
        raise ValueError("not JSON that can be read: nested too deep") from error
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    if key not in record:
        raise ValueError(f"no key {key!r}")
    if not isinstance(record[key], str):
        raise ValueError(f"the value of {key!r} is not a string")
    return record


def _texts(pieces: Iterable[bytes], path: Path, key: str, skipped: _Problems) -> Iterator[bytes]:
    """Yield the texts of JSON Lines, each with a newline; broken UTF-8 in them stays broken."""
    for number, line in enumerate(_split_lines(pieces), 1):
        if line.isspace():
            continue
        try:
            text = _parse_record(line.decode("utf-8", BREAK), key)[key]
        except ValueError as error:
            skipped.add(f"{source_name(path)}:{number}", str(error))
            continue
        yield (text + "\n").encode("utf-8", BREAK)


def _paired(record: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Replace lone surrogates, which no output can write, by U+FFFD and count them."""
    data = json.dumps(record, ensure_ascii=False).encode("utf-8", BREAK)
    return json.loads(data.decode("utf-8", "replace")), data.count(b"\xff")
