"""How much memory there is, how a size is written, and a buffer that keeps to a bound."""

import mmap
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import IO

from nlpkit.errors import OutputError

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_UNKNOWN = 1 << 30  # a cautious guess where the system tells nothing
_BUFFER_BYTES = 1 << 20
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(?:([KMGT])(?:I?B)?|B)?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Read a size such as "200M", "1.5GiB" or "1048576" as bytes, rounded down.

    M, MB and MiB are all 2**20 bytes, and so for K, G and T; case does not matter.

    Raises:
        ValueError: the text is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a size: {text!r}; write 200M, 1.5G or a number of bytes")
    return int(Fraction(match[1]) * 1024 ** " KMGT".index((match[2] or " ").upper()))


def memory_available() -> int:
    """Return how many bytes may be used now; never raises.

    The least of what the system has free, what the control groups of this process leave (file
    cache that can be dropped counts as free) and what its address-space limit leaves.
    """
    room = [*_system_room(), *_cgroup_room(), *_address_room()]
    return max(0, min(room, default=_UNKNOWN))


def _system_room() -> Iterator[int]:
    kib = _numbers(_PROC / "meminfo").get("MemAvailable")
    if kib is not None:
        yield kib * 1024
        return
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        with suppress(AttributeError, OSError, ValueError):
            yield os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
            return


def _cgroup_room() -> Iterator[int]:
    """Yield what each control group above this process leaves, version 2 or 1."""
    for line in _read(_PROC / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base, files = _CGROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base = _CGROUPS / "memory"
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        limit, usage, cache = files
        own = base / path.lstrip("/")
        # Inside a container the path may be the host's and not exist: then only the base does.
        for group in (own, *own.parents):
            with suppress(ValueError):  # no limit reads "max", a missing file ""
                if group.is_relative_to(base):
                    used = int(_read(group / usage))
                    free = _numbers(group / "memory.stat").get(cache, 0)
                    yield int(_read(group / limit)) - max(0, used - free)


def _address_room() -> Iterator[int]:
    with suppress(ImportError, OSError, ValueError, IndexError):
        import resource  # not on every system

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            pages = int(_read(_PROC / "self/statm").split()[0])
            yield limit - pages * os.sysconf("SC_PAGE_SIZE")


def _read(path: Path) -> str:
    with suppress(OSError, ValueError):
        return path.read_text("utf-8")
    return ""


def _numbers(path: Path) -> dict[str, int]:
    """Read lines such as "MemFree:  12 kB" and "inactive_file 12"."""
    words = (line.split() for line in _read(path).splitlines())
    return {w[0].rstrip(":"): int(w[1]) for w in words if len(w) > 1 and w[1].isdecimal()}


class Spool:
    """Bytes written once: in memory up to a limit, then in a temporary file without a name.

    The file has no name from the start, so nothing is left behind however the program ends.
    """

    def __init__(self, limit: int, folder: Path | None) -> None:
        """Set the limit in bytes and the folder of the file (None: the system's own)."""
        self.size = 0
        self._limit = limit
        self._folder = folder
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._map: mmap.mmap | None = None

    def write(self, piece: bytes) -> None:
        """Append bytes.

        Raises:
            OutputError: the folder cannot be written, or is full.
        """
        self.size += len(piece)
        if self._file is None and self.size <= self._limit:
            self._memory += piece
            return
        with self._placed():
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=_BUFFER_BYTES)  # noqa: SIM115
                self._file.write(self._memory)
                self._memory = bytearray()
            self._file.write(piece)

    def view(self) -> memoryview:
        """Return all that was written, read-only; call it once, after the last write.

        Raises:
            OutputError: as write.
        """
        if self._file is None:
            return memoryview(self._memory).toreadonly()
        with self._placed():
            self._file.flush()
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return memoryview(self._map)

    def close(self) -> None:
        """Give the room back; views must be released first, or they keep it until they are."""
        self._memory = bytearray()
        if self._map is not None:
            with suppress(BufferError):
                self._map.close()
        if self._file is not None:
            with suppress(OSError):  # a full disk, told once, need not be told again
                self._file.close()

    @contextmanager
    def _placed(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = self._folder or "the system's temporary folder"
            raise OutputError(
                f"{where}: cannot keep the input there: {error.strerror or error}",
                hint="--tmp FOLDER names another folder",
            ) from error


def default_memory() -> int:
    """Return the bytes to work with where nobody says: half of what is free."""
    return memory_available() // 2


def default_threads() -> int:
    """Return how many threads to use where nobody says: one for each core this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
