"""Bytes from anywhere: files, standard input, archives and other encodings become UTF-8 pieces."""

import codecs
import errno
import gzip
import io
import lzma
import mmap
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path
from typing import cast

from nlpkit.errors import InputError, MissingDependencyError

PIECE_BYTES = 1 << 16  # what a pipe holds; 1 MiB is mapped anew for each read, 2-3 times slower
STDIN = "-"
ARCHIVES = {".gz": "gzip", ".xz": "xz", ".zst": "zstd", ".zstd": "zstd"}
BREAK = "nlpkit.break"
BROKEN = "\udcff"

_TOO_MANY = {errno.EMFILE, errno.ENFILE}
_ZSTD_FEED_BYTES = 1024  # 4 bytes may unpack to 128 KiB, so this to 32 MiB at the very worst
# UTF-32 stands before UTF-16: the mark of the second begins the mark of the first.
_FOREIGN = {
    codecs.BOM_UTF32_LE: ("looks like UTF-32", "--encoding utf-32"),
    codecs.BOM_UTF32_BE: ("looks like UTF-32", "--encoding utf-32"),
    codecs.BOM_UTF16_LE: ("looks like UTF-16", "--encoding utf-16"),
    codecs.BOM_UTF16_BE: ("looks like UTF-16", "--encoding utf-16"),
    b"\x1f\x8b": ("looks like a gzip archive", "end its name in .gz, or pipe it through gzip -dc"),
    b"\xfd7zXZ\0": ("looks like an xz archive", "end its name in .xz, or pipe it through xz -dc"),
    b"\x28\xb5\x2f\xfd": ("looks like a zstd archive", "end its name in .zst, or use zstd -dc"),
}
_MARKS = (codecs.BOM_UTF8, *_FOREIGN)
LONGEST_MARK = max(map(len, _MARKS))


def _mark_as_broken(error: UnicodeError) -> tuple[str | bytes, int]:
    """Codec error handler: what cannot be read or written becomes the byte FF, broken UTF-8."""
    if isinstance(error, UnicodeDecodeError):
        return BROKEN, error.end
    if isinstance(error, UnicodeEncodeError):
        return b"\xff" * (error.end - error.start), error.end
    raise error


codecs.register_error(BREAK, _mark_as_broken)


def check_encoding(encoding: str) -> str:
    """Return the codec's own name, such as "utf-8" for "UTF8".

    Raises:
        ValueError: Python has no such text encoding, or it cannot be read in pieces.
    """
    try:
        "a".encode(encoding)
        codecs.getincrementaldecoder(encoding)(BREAK).decode(b"a")
    except (LookupError, ValueError):
        raise ValueError(f"unknown encoding {encoding!r}; try gb18030, big5 or utf-16") from None
    return codecs.lookup(encoding).name


def is_utf8(encoding: str) -> bool:
    """Tell whether bytes in this encoding can be used as they are; raises as check_encoding."""
    return check_encoding(encoding) in {"utf-8", "utf-8-sig"}


def source_name(path: Path) -> str:
    """Return the name that messages use: the path as given, or "<stdin>" for "-"."""
    return "<stdin>" if str(path) == STDIN else str(path)


def cause(error: OSError) -> str:
    """Return the reason in an operating system error, without its number and path."""
    return error.strerror or str(error)


def open_file(path: Path) -> AbstractContextManager[io.BufferedReader]:
    """Open a file for reading; "-" is standard input, which stays open afterwards.

    Raises:
        InputError: missing, a folder, not readable, or standard input is closed.
    """
    if str(path) == STDIN:
        if sys.stdin is None:
            raise InputError("<stdin>: standard input is closed")
        return nullcontext(cast(io.BufferedReader, sys.stdin.buffer))
    try:
        return path.open("rb")
    except OSError as error:
        raise _not_opened(path, error) from error


def _not_opened(path: Path, error: OSError) -> InputError:
    hint = ""
    if error.errno == errno.EISDIR:
        hint = f"name its files, such as {path / '*.txt'}"
    elif error.errno in _TOO_MANY:
        hint = "join the files in a pipe: cat FILE... | nlpkit ..."
    return InputError(f"{source_name(path)}: {cause(error)}", hint=hint)


def read_pieces(file: io.BufferedReader, path: Path) -> Iterator[bytes]:
    """Yield the bytes of an open file, unpacked if the ending of its path names an archive.

    A piece comes as soon as it can be read; it has 64 KiB or less, save that zstd may give more.

    Raises:
        InputError: reading fails, or the archive is damaged or truncated.
        MissingDependencyError: a zstd archive, and zstandard is not installed.
    """
    kind = ARCHIVES.get(path.suffix.lower())
    try:
        if kind is None:
            yield from _pieces(file)
            return
        if not file.peek(1):
            raise EOFError("the file is empty")
        if kind == "gzip":
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield from _pieces(unpacked)
        elif kind == "xz":
            with lzma.LZMAFile(file) as unpacked:
                yield from _pieces(unpacked)
        else:
            yield from _zstd_pieces(file, path)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path}: cannot unpack: {error}", hint=f"check the archive: {kind} -t {path}"
        ) from error
    except OSError as error:
        raise InputError(f"{source_name(path)}: {cause(error)}") from error


def _pieces(reader: io.BufferedReader | gzip.GzipFile | lzma.LZMAFile) -> Iterator[bytes]:
    while piece := reader.read1(PIECE_BYTES):
        yield piece


def _zstd_pieces(file: io.BufferedReader, path: Path) -> Iterator[bytes]:
    """Unpack frame by frame: the package's own reader takes a truncated file for a whole one."""
    try:
        import zstandard
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: reading zstd needs the package zstandard", hint="pip install zstandard"
        ) from error
    frame = None
    while packed := file.read(_ZSTD_FEED_BYTES):
        while packed:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            try:
                piece = frame.decompress(packed)
            except zstandard.ZstdError as error:
                raise zlib.error(str(error)) from error
            packed, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
            if piece:
                yield piece
    if frame:
        raise EOFError("the last frame is not complete")


def utf8_pieces(file: io.BufferedReader, path: Path, encoding: str) -> Iterator[bytes]:
    """Yield an open file as UTF-8, unpacked, without a byte-order mark.

    UTF-8 passes unchecked. Wrong bytes of another encoding become the byte FF, broken UTF-8,
    one for each wrong sequence: whoever reads the pieces needs one rule for both.

    Raises:
        InputError: as read_pieces, or the bytes are UTF-16, UTF-32 or an archive by their start.
        MissingDependencyError: as read_pieces.
        ValueError: as check_encoding.
    """
    pieces = read_pieces(file, path)
    if not is_utf8(encoding):
        yield from _recoded(pieces, encoding)
        return
    head = b""
    while any(mark.startswith(head) for mark in _MARKS) and (piece := next(pieces, b"")):
        head += piece
    yield head[mark_length(head, path) :]
    yield from pieces


def _recoded(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(BREAK)
    at_start = True
    for piece in chain(pieces, [b""]):
        text = decoder.decode(piece, final=not piece)
        if at_start and text:
            text = text.removeprefix("\ufeff")
            at_start = False
        yield text.encode("utf-8", BREAK)


def mark_length(head: bytes, path: Path) -> int:
    """Return how many bytes the UTF-8 byte-order mark takes at the start of data: 3 or 0.

    Raises:
        InputError: the data start as UTF-16, UTF-32 or an archive.
    """
    for mark, (reason, hint) in _FOREIGN.items():
        if head.startswith(mark):
            raise InputError(f"{source_name(path)}: not UTF-8: {reason}", hint=hint)
    return len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0


def map_file(file: io.BufferedReader, path: Path) -> tuple[mmap.mmap, int] | None:
    """Map an open regular file and take all of it as read, as reading it would.

    Returns:
        The map of the whole file and the offset where the file stood, in bytes; None for what
        cannot be mapped: a pipe, a file of no size (files under /proc say so too), or a file
        whose file system refuses.

    Raises:
        InputError: too many files are open.
    """
    try:
        status = os.fstat(file.fileno())
        start = file.tell() if stat.S_ISREG(status.st_mode) else status.st_size
        if start >= status.st_size:
            return None
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        if error.errno in _TOO_MANY:  # a map holds a descriptor, so a spool would fail as well
            raise _not_opened(path, error) from error
        return None
    file.seek(0, os.SEEK_END)
    return mapped, start
