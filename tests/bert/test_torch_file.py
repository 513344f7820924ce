"""pytorch_model.bin: tensors come out, and nothing in it is ever called."""

import io
import os
import pickle
import pickletools
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from nlpkit.bert import torch_file
from nlpkit.bert.torch_file import read_torch_file
from nlpkit.errors import ModelError

MATRIX = np.arange(12, dtype="<f4").reshape(3, 4)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "pytorch_model.bin"


def refused(file, *words):
    with pytest.raises(ModelError) as caught:
        dict(read_torch_file(file))
    for word in (str(file), *words):
        assert word in str(caught.value)
    return caught.value


@pytest.mark.parametrize("protocol", [2, 4])
def test_reads_every_type_of_number(file, write_torch, protocol):
    arrays = {
        "float32": MATRIX,
        "float64": np.array([1e300, -0.1], "<f8"),
        "float16": np.array([[0.5], [-65504]], "<f2"),
        "int64": np.array([[-(2**40)]], "<i8"),
        "int32": np.array([-(2**31)], "<i4"),
        "uint8": np.array([255], "u1"),
        "bool": np.array([True, False]),
        "scalar": np.array(3.5, "<f4"),
        "empty": np.zeros((0, 3), "<f4"),
    }
    write_torch(file, arrays, protocol=protocol)
    found = read_torch_file(file)
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)


def test_widens_bfloat16_to_float32(file, write_torch):
    write_torch(file, {"x": np.array([[0x3FC0, 0xC000]], "<u2")})
    found = read_torch_file(file)["x"]
    assert found.dtype == np.float32
    assert found.tolist() == [[1.5, -2.0]]


def test_follows_offsets_and_strides_within_a_shared_storage(file, write_torch, view):
    numbers = np.arange(24, dtype="<f4")
    write_torch(
        file,
        {
            "whole": numbers,
            "columns": view(numbers, 6, (3, 2), (4, 1)),
            "transposed": view(numbers, 0, (6, 4), (1, 6)),
            "last": view(numbers, 23, (1,), (1,)),
            "row": view(numbers, 2, (1, 3), (99, 1)),  # nothing is ever 99 away: there is one row
            "other": np.array([5], "<f4"),
        },
    )
    found = read_torch_file(file)
    assert found["whole"].tolist() == list(range(24))
    assert found["columns"].tolist() == [[6, 7], [10, 11], [14, 15]]
    assert found["transposed"][1].tolist() == [1, 7, 13, 19]
    assert found["last"].tolist() == [23]
    assert found["row"].tolist() == [[2, 3, 4]]
    assert found["other"].tolist() == [5]
    found["whole"][0] = 9  # what one caller does to an array is no other's business
    assert found["whole"][0] == 0


def test_joins_the_names_of_nested_dictionaries_and_leaves_numbers_out(file, write_torch, torch_pickle):
    state = OrderedDict(weight=MATRIX)
    state._metadata = OrderedDict({"": {"version": 1}})  # as torch's state dictionaries have
    tree = {
        "epoch": 3,
        "rate": 1e-3,
        "tags": ["a", None, True],
        "at": (1, 2**70),
        "model": {"layer": state},
        7: MATRIX,
    }
    write_torch(file, tree)
    found = read_torch_file(file)
    assert list(found) == ["model.layer.weight", "7"]
    assert np.array_equal(found["model.layer.weight"], MATRIX)


def test_reads_parameters_as_tensors(file, write_torch, view):
    write_torch(file, {"x": view(MATRIX, parameter=True)})
    assert np.array_equal(read_torch_file(file)["x"], MATRIX)


class Call:
    """Unpickling this calls a function."""

    def __init__(self, function, *arguments):
        self.parts = (function, arguments)

    def __reduce__(self):
        return self.parts


@pytest.mark.parametrize("protocol", [2, 4])
def test_refuses_a_file_that_would_run_a_command_and_does_not_run_it(file, write_torch, tmp_path, protocol):
    canary = tmp_path / "canary"
    call = Call(os.system, f"touch {canary}")
    write_torch(file, {"x": MATRIX, "y": call}, protocol=protocol)
    error = refused(file, "refused", "posix.system", "could run code")
    assert "safetensors" in error.hint
    assert not canary.exists()


HOSTILE = {
    "a global of protocol 0": b"cos\nsystem\n(S'true'\ntR.",
    "eval": b"cbuiltins\neval\n(X\x01\x00\x00\x001tR.",
    "getattr": b"\x80\x02cbuiltins\ngetattr\n.",
    "a name beside the allowed ones": b"\x80\x02ctorch._utils\n_rebuild_tensor\n.",
    "a name within an allowed module": b"\x80\x04\x8c\x0bcollections\x8c\x0anamedtuple\x93.",
    "torch's own loader": b"\x80\x02ctorch\nload\n.",
    "an instance": b"(ios\nsystem\n.",
    "an object": b"(cos\nsystem\no.",
    "a new object": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "a registered extension": b"\x80\x02\x82\x01.",
    "a call of a storage class": b"\x80\x02ctorch\nFloatStorage\n)R.",
    "a call of a dictionary": b"\x80\x02}ccollections\nOrderedDict\n}\x85R.",
    "a call of a string": b"\x80\x02X\x01\x00\x00\x00x)R.",
    "attributes of a string": b"\x80\x02X\x01\x00\x00\x00x}b.",
    "a buffer": b"\x80\x05\x97.",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_refuses_whatever_could_call_something(file, write_torch, data):
    write_torch(file, {}, change=lambda members: members.update({"data.pkl": data}))
    refused(file, "refused", "could run code")


KNOWN = """
    PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT
    BINUNICODE SHORT_BINUNICODE EMPTY_DICT EMPTY_LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
    APPEND APPENDS SETITEM SETITEMS BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET
    GLOBAL STACK_GLOBAL BINPERSID REDUCE BUILD"""


@pytest.mark.parametrize("name", [opcode.name for opcode in pickletools.opcodes])
def test_only_the_instructions_that_data_and_tensors_need_are_known(name):
    known = True
    try:
        torch_file._Machine().run(name, None)
    except torch_file._Unsafe:
        known = False
    except (LookupError, TypeError, AttributeError):
        pass  # a known one without its operands
    assert known == (name in KNOWN.split())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "pickle exhausted"),
        (b"\x80\x02}", "pickle exhausted"),
        (b"\x80\x02.", "makes no sense"),
        (b"\x80\x02}}.", "makes no sense"),
        (b"\x80\x02]q\x00h\x07.", "makes no sense"),
        (b"\x80\x02t.", "makes no sense"),
        (b"\x80\x02}a.", "makes no sense"),
        (b"\x80\x02K\x01.", "holds no dictionary"),
        (b"\x80\x02}(K\x01u.", "shorter"),
        (b"\x80\x02}]K\x01s.", "keys that are no names"),
        (b"\x80\x02X\x05\x00\x00\x00abcdeQ.", "no storage"),
        (b"\x80\x02}q\x00X\x01\x00\x00\x00xh\x00s.", "in each other"),
        (b"\x80\x02" + b"}K\x01" * 12 + b"}" + b"s" * 12 + b".", "too deep"),
    ],
)
def test_a_broken_pickle_is_refused(file, write_torch, data, words):
    write_torch(file, {}, change=lambda members: members.update({"data.pkl": data}))
    refused(file, words)


def test_a_tree_that_names_one_dictionary_many_times_is_refused(file, write_torch):
    tree = {}
    for _ in range(7):
        tree = {f"{n}": tree for n in range(1000)}  # 10**21 names
    write_torch(file, {}, change=lambda members: members.update({"data.pkl": pickle.dumps(tree, 2)}))
    refused(file, "in each other")


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (13,), (1,)),
        (1, (3, 4), (4, 1)),
        (12, (1,), (1,)),
        (0, (2, 2), (1, 11)),
        (0, (1 << 40,), (0,)),
        (0, (13, 1), (0, 0)),
        (0, (1 << 40, 0, 1 << 40, 1 << 40), (1, 1, 1, 1)),
        (0, (1,) * 70, (1,) * 70),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(file, write_torch, view, offset, shape, strides):
    write_torch(file, {"name": view(MATRIX, offset, shape, strides), "good": MATRIX})
    with pytest.raises(ModelError, match="name"):
        read_torch_file(file)["name"]
    assert np.array_equal(read_torch_file(file)["good"], MATRIX)


@pytest.mark.parametrize(
    ("offset", "shape", "strides"), [(-1, (1,), (1,)), (0, (-1,), (1,)), (3, (2,), (-1,)), (0.5, (1,), (1,))]
)
def test_impossible_sizes_are_refused(file, write_torch, view, offset, shape, strides):
    write_torch(file, {"name": view(MATRIX, offset, shape, strides)})
    refused(file, "impossible sizes")


def test_strides_must_be_as_many_as_lengths(file, write_torch, view):
    write_torch(file, {"name": view(MATRIX, 0, (3, 4), (1,))})
    refused(file, "name")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda members: members.pop("data/0"), "x has its numbers in data/0, which is not in the file"),
        (lambda members: members.update({"data/0": members["data/0"][:-4]}), "x has 44 bytes"),
        (lambda members: members.update({"data/0": members["data/0"] * 2}), "x has 96 bytes"),
        (lambda members: members.pop("data.pkl"), "no data.pkl"),
        (lambda members: members.update({"byteorder": b"big"}), "big-endian"),
    ],
)
def test_a_damaged_archive_is_refused(file, write_torch, change, words):
    write_torch(file, {"x": MATRIX}, change=change)
    refused(file, words)


def test_a_changed_number_is_found_by_its_checksum(file, write_torch):
    write_torch(file, {"weight": MATRIX})
    data = file.read_bytes()
    place = data.index(MATRIX.tobytes())
    file.write_bytes(data[: place + 9] + b"\xff" + data[place + 10 :])
    refused(file, "weight", "does not match its checksum")


def test_a_compressed_archive_is_refused_before_anything_is_unpacked(file, write_torch):
    bomb = np.zeros(10_000_000, "<f4")
    write_torch(file, {"x": bomb}, compression=zipfile.ZIP_DEFLATED)
    assert file.stat().st_size < 100_000
    refused(file, "is compressed")


def test_a_truncated_archive_is_refused(file, write_torch):
    write_torch(file, {"x": MATRIX})
    good = file.read_bytes()
    for size in range(0, len(good), 7):
        file.write_bytes(good[:size])
        refused(file, "damaged or no file of tensors")


def test_the_form_of_old_versions_is_refused_with_a_way_out(file):
    out = io.BytesIO()
    pickle.dump(0x1950A86A20F9469CFC6C, out, protocol=2)  # what torch.save began with before 1.6
    file.write_bytes(out.getvalue() + b"rest")
    error = refused(file, "before 1.6")
    assert "model.safetensors" in error.hint


def test_a_missing_file_is_named(file):
    refused(file, "No such file")
