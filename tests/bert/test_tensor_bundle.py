"""TensorFlow's checkpoint format: read whole, damaged, forged, and beside TensorFlow itself."""

import importlib.util
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpkit.bert.tensor_bundle import crc32c, read_bundle
from nlpkit.errors import ModelError

FOLDERS = Path(__file__).parents[3] / "shared/models"
ARRAYS = {
    "a/kernel": np.arange(12, dtype="<f4").reshape(3, 4) / 7,
    "a/kernel/adam_m": np.ones((3, 4), "<f4"),
    "b/double": np.array([[1e300], [-0.1]], "<f8"),
    "b/half": np.array([0.5, -65504], "<f2"),
    "c/bool": np.array([True, False]),
    "c/empty": np.zeros((0, 5), "<f4"),
    "c/int16": np.array([-300], "<i2"),
    "c/int32": np.array([[[-(2**31)]]], "<i4"),
    "c/int8": np.array([-128, 127], "<i1"),
    "c/uint8": np.array([255], "u1"),
    "global_step": np.array(2**40, "<i8"),
}


@pytest.fixture
def prefix(tmp_path, write_bundle):
    write_bundle(tmp_path / "model.ckpt", ARRAYS)
    return tmp_path / "model.ckpt"


def part(prefix, ending):
    return prefix.with_name(prefix.name + ending)


def refused(prefix, *words):
    with pytest.raises(ModelError) as caught:
        sums_of(prefix)
    for word in words:
        assert word in str(caught.value)
    assert str(prefix) in str(caught.value)


@pytest.mark.parametrize("pairs_per_block", [1, 2, 100])
def test_reads_every_type_of_number(tmp_path, write_bundle, pairs_per_block):
    write_bundle(tmp_path / "m", ARRAYS, pairs_per_block=pairs_per_block)
    found = read_bundle(tmp_path / "m")
    assert list(found) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)


def test_widens_bfloat16_to_float32(tmp_path, write_bundle):
    write_bundle(tmp_path / "m", {"x": np.array([[0x3FC0, 0xC000, 0x0001]], "<u2")})
    found = read_bundle(tmp_path / "m")["x"]
    assert found.dtype == np.float32
    assert found.tolist() == [[1.5, -2.0, 2.0**-133]]


def test_looks_up_names_without_reading(prefix):
    part(prefix, ".data-00000-of-00001").unlink()
    found = read_bundle(prefix)
    assert "a/kernel" in found
    assert "a/kernels" not in found
    assert len(found) == len(ARRAYS)
    with pytest.raises(KeyError):
        found["a/kernels"]


def test_no_byte_of_the_index_can_change_unseen(prefix):
    index = part(prefix, ".index")
    good, sums = index.read_bytes(), sums_of(prefix)
    unseen = []
    for place in range(len(good)):
        change = (1, 0x20, 0x80, 0xFF)[place % 4]
        index.write_bytes(good[:place] + bytes([good[place] ^ change]) + good[place + 1 :])
        with suppress(ModelError):
            assert sums_of(prefix) == sums
            unseen.append(place)
    # The empty block about the table (13 bytes), its handle, and what fills the footer are not looked at.
    assert 0 < len(unseen) < 55
    assert min(unseen) > len(good) - 120


def sums_of(prefix):
    return {name: array.sum() for name, array in read_bundle(prefix).items()}


def test_no_byte_of_the_index_can_be_missing(prefix):
    index = part(prefix, ".index")
    good = index.read_bytes()
    for size in range(len(good)):
        index.write_bytes(good[:size])
        refused(prefix, "damaged or no TensorFlow checkpoint")


def test_a_changed_number_is_found_by_its_checksum(prefix):
    data = part(prefix, ".data-00000-of-00001")
    good = bytearray(data.read_bytes())
    good[50] ^= 1  # the first array has 48 bytes, the second as many
    data.write_bytes(good)
    found = read_bundle(prefix)
    assert found["a/kernel"].shape == (3, 4)
    with pytest.raises(ModelError, match="adam_m does not match its checksum"):
        found["a/kernel/adam_m"]


def test_truncated_data_names_the_variable(prefix):
    data = part(prefix, ".data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:-1])
    refused(prefix, "global_step", "the file ends at", data.name)


def test_missing_files_are_named(prefix):
    part(prefix, ".data-00000-of-00001").unlink()
    refused(prefix, "data-00000-of-00001", "No such file")
    part(prefix, ".index").unlink()
    refused(prefix, ".index", "No such file")


@pytest.mark.parametrize(
    ("forgery", "words"),
    [
        ({"compression": 1}, "compressed"),
        ({"header": b"\x08\x01\x10\x01"}, "big-endian"),
        ({"header": b"\x0a\x01"}, "impossible field"),
        ({"header": b"\x0a\x01x"}, "bytes where a number belongs"),
        ({"extra": [(b"z", b"\x08")]}, "without an end"),
        ({"extra": [(b"z", b"\x08" + b"\xff" * 10)]}, "without an end"),
        ({"extra": [(b"z", b"\x12\x80\x01")]}, "impossible field"),
        ({"extra": [(b"z", b"\x10\x01")]}, "a number where bytes belong"),
        ({"extra": [(b"\xff", b"\x08\x01")]}, "invalid start byte"),
        ({"extra": [(b"z" * 5000, b"\x08\x01")]}, "impossible entry"),
        ({"extra": [(b"z", b"\x08\x01\x12\x04\x12\x02\x08\x03\x28\x08")]}, "z has 8 bytes, but shape (3,)"),
        ({"extra": [(b"z", b"\x08\x01\x28" + b"\xff" * 8 + b"\x01")]}, "the file ends at"),
        ({"extra": [(b"z", b"\x08\x63")]}, "number 99, which is not supported"),
        ({"extra": [(b"z", b"\x08\x07")]}, "z is text"),
        ({"extra": [(b"z", b"\x08\x01\x3a\x00")]}, "z is stored in slices"),
        ({"extra": [(b"z", b"\x08\x01\x18\x01\x28\x04")]}, "data-00001-of-00001: No such file"),
        ({"header": b"\x08\x0c"}, "data-00000-of-00012: No such file"),
        ({"header": None}, "no header"),
    ],
)
def test_a_forged_index_is_refused(tmp_path, write_bundle, forgery, words):
    write_bundle(tmp_path / "m", {"a": np.ones(2, "<f4")}, **forgery)
    refused(tmp_path / "m", words)


def test_an_index_without_header_or_out_of_order_is_refused(tmp_path, write_bundle):
    write_bundle(tmp_path / "m", {}, extra=[(b"", b"\x08\x01")])
    refused(tmp_path / "m", "not in order")
    write_bundle(tmp_path / "m", {}, header=b"\x08\x01")
    assert dict(read_bundle(tmp_path / "m")) == {}


@pytest.mark.parametrize("content", [b"", b"\0" * 48, b"x" * 500, struct.pack("<Q", 0xDB4775248B80FB57) * 9])
def test_other_files_are_no_index(prefix, content):
    part(prefix, ".index").write_bytes(content)
    refused(prefix, "no TensorFlow checkpoint")


@pytest.mark.parametrize(
    ("data", "crc"),
    [  # RFC 3720, section B.4, and the check value of the Rocksoft catalogue
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_the_checksum_is_crc32c(data, crc):
    assert crc32c(np.frombuffer(data, np.uint8)) == crc


@given(st.binary(max_size=700), st.integers(0, 70), st.integers(0, 9000))
def test_the_checksum_of_any_length_is_that_of_the_bits(data, repeats, zeros):
    data = data * repeats + bytes(zeros)
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        crc = _BYTES[crc & 0xFF] ^ crc >> 8
    assert crc32c(np.frombuffer(data, np.uint8)) == crc ^ 0xFFFFFFFF


def _byte_table():
    table = list(range(256))
    for _ in range(8):
        table = [value >> 1 ^ (0x82F63B78 if value & 1 else 0) for value in table]
    return table


_BYTES = _byte_table()


@pytest.mark.skipif(importlib.util.find_spec("bert4keras") is None, reason="needs TensorFlow")
def test_reads_what_tensorflow_writes_and_writes_what_it_reads(tmp_path, prefix):
    from nlpkit.bert import backend

    tf = backend.tensorflow()
    theirs = tf.train.load_checkpoint(str(prefix))  # the writer of these tests keeps to the format
    assert all(np.array_equal(theirs.get_tensor(name), array) for name, array in ARRAYS.items())

    random = np.random.default_rng(3)
    arrays = {
        f"layer_{n}/{part}": random.normal(size=(n, 30)) for n in range(40) for part in ("kernel", "bias")
    }
    arrays |= {"bfloat16": tf.cast([[1.5, 3.0]], tf.bfloat16), **ARRAYS}
    names = sorted(arrays)
    path = tmp_path / "theirs"
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[arrays[name] for name in names],
    )
    found = read_bundle(path)
    assert list(found) == names
    for name in names:
        assert np.array_equal(found[name], np.asarray(arrays[name], found[name].dtype)), name


@pytest.mark.parametrize("folder", ["albert-small-zh", "albert-tiny-zh", "simbert-tiny-zh"])
def test_reads_every_byte_of_a_published_checkpoint(folder):
    if not (FOLDERS / folder).is_dir():
        pytest.skip(f"../shared/models/{folder} is absent")
    (index,) = (FOLDERS / folder).glob("*.index")
    found = read_bundle(index.with_suffix(""))
    data = index.with_suffix(".data-00000-of-00001")
    assert sum(array.nbytes for array in found.values()) == data.stat().st_size
    assert found["bert/embeddings/position_embeddings"].shape == (512, 128)
