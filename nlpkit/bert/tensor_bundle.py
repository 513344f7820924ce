"""Reads TensorFlow checkpoints (format V2) without TensorFlow.

`PREFIX.index` is a sorted table in LevelDB's format: blocks of key-value pairs, an index block that says
where they are, and a footer that says where the index block is. A key is a variable's name, a value a small
protocol buffer with its type, shape and place in `PREFIX.data-?????-of-?????`. Both carry CRC-32C checksums.
Source: TensorFlow's tensor_bundle.proto and LevelDB's doc/table_format.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nlpkit.bert.tensors import DOWNLOAD_HINT, AnyArray, Bytes, Tensors, decode, read_bytes
from nlpkit.errors import ModelError

INDEX = ".index"

_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES = 48
_TRAILER_BYTES = 5  # behind a block: the kind of compression, and a checksum
_LONGEST_NAME = 4096
_KINDS = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    19: "float16",
}
_POLYNOMIAL = np.uint32(0x82F63B78)
_MASK_DELTA = 0xA282EAD8
_MOST_LANES = 1 << 12

_Field = int | bytes  # of a protocol buffer
_Crcs = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class _Entry:
    """Where a variable lies; `crc` is masked as the file has it."""

    kind: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    is_sliced: bool


def read_bundle(prefix: Path) -> Tensors:
    """Open a checkpoint.

    Args:
        prefix: the path without `.index`, for example `model/bert_model.ckpt`.

    Returns:
        The variables by name, each read from disk when it is asked for; its size and checksum are verified
        then. bfloat16 becomes float32; strings and partitioned variables are listed but cannot be read.

    Raises:
        ModelError: the index is absent, damaged, compressed or of another format.

    Cost: milliseconds to open; a variable is read and verified at some 300 MB a second.
    """
    index = Path(f"{prefix}{INDEX}")
    try:
        data = index.read_bytes()
        pairs = list(_table(data))
        if not pairs or pairs[0][0]:
            raise ValueError("has no header")
        header = dict(_fields(pairs[0][1]))
        shards = _int(header.get(1, 0))
        if header.get(2, 0):
            raise ValueError("was written on a big-endian machine")
        entries = {key.decode(): _entry(value) for key, value in pairs[1:]}
    except OSError as error:
        raise ModelError(f"{index}: {error.strerror}") from None
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{index}: damaged or no TensorFlow checkpoint: {error}", hint=DOWNLOAD_HINT
        ) from None
    return Tensors(
        {
            name: partial(_read, Path(f"{prefix}.data-{entry.shard:05}-of-{shards:05}"), name, entry)
            for name, entry in entries.items()
        }
    )


def _read(path: Path, name: str, entry: _Entry) -> AnyArray:
    """Read and verify one variable."""
    if entry.is_sliced or entry.kind == "string":
        what = "stored in slices" if entry.is_sliced else "text"
        raise ModelError(f"{path}: {name} is {what}, which is not supported")
    try:
        raw = read_bytes(path, entry.offset, entry.size)
        array = decode(raw, entry.kind, entry.shape)
        if masked_crc32c(raw) != entry.crc:
            raise ValueError("does not match its checksum")
    except ValueError as error:
        raise ModelError(f"{path}: {name} {error}", hint=DOWNLOAD_HINT) from None
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}", hint="a checkpoint is its index and its data") from None
    return array


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the pairs of a whole table in order."""
    if len(data) < _FOOTER_BYTES or int.from_bytes(data[-8:], "little") != _MAGIC:
        raise ValueError("it does not end as an index does")
    footer = data[-_FOOTER_BYTES:]
    _, place = _varint(footer, 0)  # the first handle is that of a block about the table, which is not needed
    _, place = _varint(footer, place)
    last = None
    for _, handle in _pairs(_block(data, footer, place)):
        for key, value in _pairs(_block(data, handle, 0)):
            # The order also keeps a forged index from naming one block a million times.
            if last is not None and key <= last:
                raise ValueError("its names are not in order")
            last = key
            yield key, value


def _block(data: bytes, handle: bytes, place: int) -> bytes:
    """Return the block that a handle (offset and size as varints) points at."""
    offset, place = _varint(handle, place)
    size, _ = _varint(handle, place)
    end = offset + size
    if end + _TRAILER_BYTES > len(data):
        raise ValueError("it ends within a block")
    if data[end]:
        raise ValueError("it is compressed, which is not supported")
    stored = int.from_bytes(data[end + 1 : end + _TRAILER_BYTES], "little")
    if masked_crc32c(np.frombuffer(data, np.uint8, size + 1, offset)) != stored:
        raise ValueError("a block does not match its checksum")
    return data[offset:end]


def _pairs(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the pairs of a block. A key is stored as what it does not share with the one before."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    place, key = 0, b""
    while place < end:
        shared, place = _varint(block, place)
        unshared, place = _varint(block, place)
        size, place = _varint(block, place)
        if shared > len(key) or shared + unshared > _LONGEST_NAME or place + unshared + size > end:
            raise ValueError("a block has an impossible entry")
        key = key[:shared] + block[place : place + unshared]
        place += unshared + size
        yield key, block[place - size : place]


def _entry(value: bytes) -> _Entry:
    """Read a BundleEntryProto."""
    fields = list(_fields(value))
    found = dict(fields)
    dimensions = [
        dict(_fields(_bytes(dim))) for number, dim in _fields(_bytes(found.get(2, b""))) if number == 2
    ]
    kind = _int(found.get(1, 0))
    return _Entry(
        kind=_KINDS.get(kind, f"number {kind}"),
        shape=tuple(_int(dim.get(1, 0)) for dim in dimensions),
        shard=_int(found.get(3, 0)),
        offset=_int(found.get(4, 0)),
        size=_int(found.get(5, 0)),
        crc=_int(found.get(6, 0)),
        is_sliced=any(number == 7 for number, _ in fields),
    )


def _fields(message: bytes) -> Iterator[tuple[int, _Field]]:
    """Yield number and value of each field of a protocol buffer."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        wire = tag & 7
        value: _Field
        if wire == 0:
            value, place = _varint(message, place)
        else:
            size = {1: 8, 5: 4}.get(wire)
            if wire == 2:
                size, place = _varint(message, place)
            if size is None or place + size > len(message):
                raise ValueError("an entry has an impossible field")
            raw = message[place : place + size]
            value, place = raw if wire == 2 else int.from_bytes(raw, "little"), place + size
        yield tag >> 3, value


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Return an integer of seven bits a byte, and the place behind it."""
    value = 0
    for shift in range(0, 64, 7):
        if place >= len(data):
            break
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("it has an integer without an end")


def _int(field: _Field) -> int:
    if not isinstance(field, int):
        raise TypeError("an entry has bytes where a number belongs")
    return field


def _bytes(field: _Field) -> bytes:
    if not isinstance(field, bytes):
        raise TypeError("an entry has a number where bytes belong")
    return field


def masked_crc32c(data: Bytes) -> int:
    """Return the CRC-32C of some bytes, masked as TensorFlow and LevelDB store it."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def crc32c(data: Bytes) -> int:
    """Return the CRC-32C (Castagnoli) of some bytes.

    The bytes are cut into lanes of equal length whose checksums advance side by side, two bytes a step, and
    are then joined in pairs. Checksums are linear: zeros in front of the first lane change nothing as long as
    the register starts from zero, and what it really starts from is added at the end.
    """
    lanes = 1 << min(max(len(data) // 64, 1).bit_length() - 1, _MOST_LANES.bit_length() - 1)
    steps = -(-len(data) // (2 * lanes))
    padded = np.zeros(2 * lanes * steps, np.uint8)
    padded[len(padded) - len(data) :] = data
    table = _word_table()
    crcs = np.zeros(lanes, np.uint32)
    for words in np.ascontiguousarray(padded.view("<u2").reshape(lanes, steps).T):
        crcs = table[crcs.astype(np.uint16) ^ words] ^ (crcs >> 16)
    width = 2 * steps
    while len(crcs) > 1:
        crcs = _advanced(crcs[::2], width) ^ crcs[1::2]
        width *= 2
    start = _advanced(np.array([0xFFFFFFFF], np.uint32), len(data))
    return int(crcs[0] ^ start[0]) ^ 0xFFFFFFFF


@cache
def _word_table() -> _Crcs:
    """Return what each 16-bit word does to a checksum."""
    return _shifted(np.arange(1 << 16, dtype=np.uint32), 16)


def _shifted(crcs: _Crcs, num_bits: int) -> _Crcs:
    """Return checksums after so many zero bits, one by one."""
    for _ in range(num_bits):
        crcs = np.where(crcs & 1, (crcs >> 1) ^ _POLYNOMIAL, crcs >> 1)
    return crcs


def _advanced(crcs: _Crcs, num_bytes: int) -> _Crcs:
    """Return checksums after so many zero bytes, by squaring the map that one zero byte is."""
    power = _shifted(np.uint32(1) << np.arange(32, dtype=np.uint32), 8)
    while num_bytes:
        if num_bytes & 1:
            crcs = _mapped(power, crcs)
        power = _mapped(power, power)
        num_bytes >>= 1
    return crcs


def _mapped(power: _Crcs, crcs: _Crcs) -> _Crcs:
    """Apply a linear map, given by what it makes of each of the 32 bits."""
    bits = (crcs[:, None] >> np.arange(32, dtype=np.uint32)) & 1
    mapped: _Crcs = np.bitwise_xor.reduce(np.where(bits, power, 0), axis=1)
    return mapped
