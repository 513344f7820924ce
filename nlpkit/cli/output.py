"""Write records: as JSON Lines, TSV, a table, a jieba dictionary or plain lines."""

import errno
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields
from enum import StrEnum
from io import BufferedWriter, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from nlpkit.cli.messages import wants_colour
from nlpkit.errors import OutputError

DECIMALS = 6  # of floats in JSON Lines and TSV
BATCH = 512  # records between two flushes
_DISK_IS_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_ESCAPED = re.compile(r"[\\\t\n\r]")
_LINE_END = re.compile(r"[\n\r]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # a corpus must not steer the terminal


class Format(StrEnum):
    """How records are written."""

    TABLE = "table"
    JSONL = "jsonl"
    TSV = "tsv"
    JIEBA = "jieba"
    TEXT = "text"


def default_format(path: Path | None) -> Format:
    """Return what to write where nobody chose: a table at a terminal, else JSON Lines."""
    at_terminal = _is_stdout(path) and sys.stdout is not None and sys.stdout.isatty()
    return Format.TABLE if at_terminal else Format.JSONL


def is_disk_full(error: OSError) -> bool:
    """Tell whether an OSError can only come from writing where there is no room left."""
    return error.errno in _DISK_IS_FULL


@contextmanager
def open_output(path: Path | None, *, force: bool = False) -> Iterator[TextIO]:
    """Open a text stream for results: UTF-8, "\\n" as line end.

    A regular file is written beside its place and moved there at success; when the run fails or is
    interrupted, what was there before stays. Devices and named pipes are written directly.

    Args:
        path: Where to write; None or "-" is standard output.
        force: Replace a file that is already there.

    Raises:
        OutputError: the file exists and `force` is False, its folder cannot be written, or the disk
            is full (whoever writes meets that too, from within the `with` block).
    """
    if path is None or _is_stdout(path):
        if sys.stdout is None:
            raise OutputError("standard output is closed", hint="write to a file with -o FILE")
        yield sys.stdout
        return
    with open_binary(path, force=force) as file:
        text = TextIOWrapper(cast(BinaryIO, file), "utf-8", errors="backslashreplace", newline="\n")
        try:
            yield text
            text.flush()
        finally:
            with suppress(OSError):  # a full disk is told by the flush, or by closing the file
                text.detach()


@contextmanager
def open_binary(path: Path, *, force: bool = False) -> Iterator[BufferedWriter]:
    """Open a file for bytes, in the same way and with the same errors as `open_output`."""
    refuse_existing(path, force=force)
    with _written_directly(path) if _is_special(path) else _written_beside(path.resolve()) as out:
        yield out


def refuse_existing(path: Path | None, *, force: bool) -> None:
    """Refuse early, before long work, what `open_output` would refuse: a file that is already there.

    Raises:
        OutputError: the file exists and `force` is False.
    """
    if path is not None and not _is_stdout(path) and not force and path.exists() and not _is_special(path):
        raise OutputError(f"{path}: the file exists", hint="--force overwrites it")


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()


def write_records(records: Iterable[Any], out: TextIO, fmt: Format, *, batch: int = BATCH) -> None:
    """Write records one per line, in the order of their fields.

    JSON Lines and TSV round floats to six decimals. TSV starts with a line of names, escapes
    backslash, tab and line ends, and joins a list with " | ". Text writes the first field only, a
    list joined by spaces; jieba writes `word count`, which `jieba.load_userdict` reads.

    Args:
        records: Dataclass instances or mappings, all of one kind; read lazily but for a table,
            which has to hold them all.
        out: Where to; flushed after each `batch` records, so that pipes stream.
        batch: Records between two flushes; 1 for a reader that waits for each answer.

    Raises:
        ValueError: a float is not finite.
    """
    if fmt is Format.TABLE:
        write_table(records, out)
        return
    source = iter(records)
    format_line: Callable[[dict[str, Any]], str] = _LINES[fmt]
    header = fmt is Format.TSV
    while group := list(islice(source, batch)):
        rows = list(_rows(group))
        if header:
            out.write("\t".join(rows[0]) + "\n")
            header = False
        out.writelines(map(format_line, rows))
        out.flush()


def write_table(records: Iterable[Any], out: TextIO) -> None:
    """Write an aligned table: CJK counts as two cells, numbers stand to the right.

    At a terminal (or where COLUMNS is set) the last columns are left out until the rest fits, and the last
    that stays is cut; the first column never is.
    """
    from rich.cells import cell_len, set_cell_size

    rows = list(_rows(records))
    if not rows:
        return
    names = list(rows[0])
    cells = [[_cell(value) for value in row.values()] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(names, *cells, strict=True)]
    is_number = [isinstance(value, int | float) for value in rows[0].values()]
    room = _width(out)
    while len(widths) > 1 and sum(widths[:-1]) + min(widths[-1], 8) + 2 * (len(widths) - 1) > room:
        widths.pop()
    if len(widths) > 1:
        widths[-1] = min(widths[-1], room - sum(widths[:-1]) - 2 * (len(widths) - 1))

    def line(values: list[str]) -> str:
        padded = (
            " " * (width - cell_len(value)) + value if right else set_cell_size(value, width)
            for value, width, right in zip(values, widths, is_number, strict=False)
        )
        return "  ".join(padded).rstrip()

    head = line(names)
    out.write(f"\033[1m{head}\033[0m\n" if wants_colour(out) else f"{head}\n")
    out.writelines(f"{line(values)}\n" for values in cells)
    out.flush()


def _rows(records: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Yield each record as a dict in field order; floats of dataclasses rounded, mappings as they are."""
    names: list[str] | None = None
    for record in records:
        if isinstance(record, Mapping):
            yield dict(record)
            continue
        names = names or [field.name for field in fields(record)]
        row = {name: getattr(record, name) for name in names}
        for name, value in row.items():
            if isinstance(value, float):
                # + 0.0 makes a plain zero of the negative one that rounding can give
                row[name] = round(value, DECIMALS) + 0.0
        yield row


def _jsonl(row: dict[str, Any]) -> str:
    return _encode(row) + "\n"


def _tsv(row: dict[str, Any]) -> str:
    return "\t".join(map(_field, row.values())) + "\n"


def _text(row: dict[str, Any]) -> str:
    value = next(iter(row.values()))
    text = value if isinstance(value, str) else " ".join(value)
    return _LINE_END.sub(" ", text) + "\n"


def _jieba(row: dict[str, Any]) -> str:
    return f"{_LINE_END.sub(' ', row['word'])} {row['count']}\n"


_LINES = {Format.JSONL: _jsonl, Format.TSV: _tsv, Format.TEXT: _text, Format.JIEBA: _jieba}


def _field(value: Any) -> str:
    """Write one TSV field."""
    if isinstance(value, str):
        if value.isprintable() and "\\" not in value:  # the usual case, and far cheaper
            return value
        return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], value)
    if isinstance(value, list | tuple):
        return " | ".join(map(_field, value))
    return _encode(value)


def _cell(value: Any) -> str:
    """Write one cell of a table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list | tuple):
        return " | ".join(map(_cell, value))
    return _CONTROL.sub(" ", str(value))


def _width(out: TextIO) -> int:
    if out.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return sys.maxsize


def _is_stdout(path: Path | None) -> bool:
    return path is None or str(path) in ("-", "/dev/stdout")


@contextmanager
def _written_directly(path: Path) -> Iterator[BufferedWriter]:
    with _refusals(path):
        out = path.open("wb")
    with _refusals(path, full_disk_only=True), out:
        yield out


@contextmanager
def _written_beside(path: Path) -> Iterator[BufferedWriter]:
    """Write to a hidden file in the same folder, and give it the name only at success."""
    if path.is_dir():
        raise OutputError(f"{path}: this is a folder")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with _refusals(path):
        out = part.open("xb")
    try:
        with _refusals(path, full_disk_only=True), out:
            yield out
        with _refusals(path):
            if path.exists():
                shutil.copymode(path, part)
            part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def _refusals(path: Path, *, full_disk_only: bool = False) -> Iterator[None]:
    """Turn the system's refusals to open, write or close `path` into OutputError.

    Around a `with` body only a full disk is sure to come from writing: another OSError there may be
    about what the command reads.
    """
    try:
        yield
    except OSError as error:
        if full_disk_only and not is_disk_full(error):
            raise
        raise OutputError(f"{path}: cannot write: {error.strerror}") from error
