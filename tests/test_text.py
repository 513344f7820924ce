import codecs
import errno
import gzip
import io
import lzma
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from nlpkit import sources
from nlpkit.errors import InputError, MissingDependencyError, OutputError
from nlpkit.text import Line, iter_lines, open_sources

TEXT = "天地玄黄\n宇宙洪荒 𠀀\n"
UTF8 = TEXT.encode()
PACKERS = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
}
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")


@pytest.fixture
def put(tmp_path):
    def write(name, data):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


def read(*paths, **options):
    """Return the bytes of all sources, copied before they are closed."""
    with open_sources(paths, **{"spool_bytes": 1 << 20, **options}) as found:
        return [bytes(source.data) for source in found]


def lines(*paths, **options):
    return list(iter_lines(paths, **options))


def python(code, *args, **options):
    """Start Python on `code` at the root of the repository, so that nlpkit is found."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        **options,
    )


def output(process, data=None):
    out, err = process.communicate(data, timeout=30)
    assert process.returncode == 0, err.decode()
    return out


READ_STDIN = """
import sys
from pathlib import Path
from nlpkit.text import open_sources
with open_sources([Path("-")], spool_bytes=4) as [source]:
    print(source.name, type(source.data).__name__, bytes(source.data), sep="|", end="")
    print("", sys.stdin.buffer.read(), sep="|", end="")
"""


# Sources: what becomes of each kind of input


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf-8-sig"])
def test_maps_a_plain_file_and_spools_nothing(put, encoding):
    path, tmp = put("a.txt", UTF8), Path("/no/such/folder")
    with open_sources([path], encoding=encoding, spool_bytes=0, tmp=tmp) as [source]:
        assert source.name == str(path)
        assert type(source.data).__name__ == "mmap"
        assert source.data[:] == UTF8
    with pytest.raises(ValueError, match="closed"):
        source.data[:]


def test_drops_a_byte_order_mark_without_copying(put):
    path = put("a.txt", codecs.BOM_UTF8 + UTF8)
    with open_sources([path], spool_bytes=0, tmp=Path("/no/such/folder")) as [source]:
        assert isinstance(source.data, memoryview)
        assert type(source.data.obj).__name__ == "mmap"
        assert source.data == UTF8


@pytest.mark.parametrize("suffix", PACKERS)
def test_drops_a_byte_order_mark_inside_an_archive(put, suffix):
    assert read(put("a" + suffix, PACKERS[suffix](codecs.BOM_UTF8 + UTF8))) == [UTF8]


def test_knows_the_start_of_a_stream_that_comes_byte_by_byte(put, monkeypatch):
    monkeypatch.setattr(sources, "PIECE_BYTES", 1)
    assert read(put("a.gz", gzip.compress(codecs.BOM_UTF8 + UTF8))) == [UTF8]
    with pytest.raises(InputError, match="looks like UTF-32"):
        read(put("a.gz", gzip.compress(TEXT.encode("utf-32"))))


@pytest.mark.parametrize("data", [b"", codecs.BOM_UTF8])
def test_an_empty_file_gives_empty_bytes(put, data):
    with open_sources([put("a.txt", data), put("b.gz", gzip.compress(data))], spool_bytes=9) as got:
        assert [source.data for source in got] == [b"", b""]
        assert all(isinstance(source.data, bytes) for source in got)


def test_keeps_the_order_of_mapped_and_spooled_inputs(put):
    paths = [put("a.gz", gzip.compress(b"1")), put("b.txt", "2"), put("c.xz", lzma.compress(b"33"))]
    assert read(*paths, put("d.txt", "")) == [b"1", b"2", b"33", b""]


def test_leaves_broken_utf8_in_place(put):
    data = b"\xe4\xb8\xff\xc0\x80a\xed\xa0\x80"
    assert read(put("a.txt", data), put("a.gz", gzip.compress(data))) == [data, data]


@needs_proc
def test_reads_files_that_say_they_have_no_size():
    assert b"PPid" in read(Path("/proc/self/status"))[0]


def test_closes_quietly_while_an_array_still_looks_at_the_data(put):
    with open_sources([put("a.txt", UTF8), put("b.gz", gzip.compress(UTF8))], spool_bytes=4) as got:
        kept = [memoryview(source.data) for source in got]
    assert kept == [UTF8, UTF8]


# Archives


@pytest.mark.parametrize("suffix", PACKERS)
def test_reads_an_archive_of_several_members_whole(put, suffix):
    packed = PACKERS[suffix](UTF8) + PACKERS[suffix](b"") + PACKERS[suffix](UTF8 * 9)
    assert read(put("A" + suffix.upper(), packed)) == [UTF8 * 10]


def test_reads_zstd_by_its_long_ending(put):
    assert read(put("a.zstd", PACKERS[".zst"](UTF8))) == [UTF8]


@pytest.mark.parametrize("cut", [0, 3, -1])
@pytest.mark.parametrize("suffix", PACKERS)
def test_refuses_a_truncated_archive(put, suffix, cut):
    path = put("a" + suffix, PACKERS[suffix](UTF8)[:cut])
    for reader in (read, lines):
        with pytest.raises(InputError, match=f"{path}: cannot unpack: ") as caught:
            reader(path)
        assert f"-t {path}" in caught.value.hint


@pytest.mark.parametrize("suffix", PACKERS)
def test_refuses_a_damaged_archive(put, suffix):
    packed = bytearray(PACKERS[suffix](random.Random(0).randbytes(5000)))
    packed[2000] ^= 0x55
    for data in (bytes(packed), UTF8 * 9):
        with pytest.raises(InputError, match="cannot unpack: "):
            read(put("a" + suffix, data))


def test_zstd_without_its_package_says_how_to_get_it(put, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingDependencyError) as caught:
        read(put("a.zst", PACKERS[".zst"](UTF8)))
    assert caught.value.hint == "pip install zstandard"


def test_hints_at_the_ending_that_an_archive_lacks(put):
    with pytest.raises(InputError, match="looks like a gzip archive") as caught:
        read(put("a.txt", gzip.compress(UTF8)))
    assert ".gz" in caught.value.hint


# Encodings


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-16-be", "utf-32"])
def test_reads_other_encodings_across_pieces(put, encoding, monkeypatch):
    monkeypatch.setattr(sources, "PIECE_BYTES", 3)
    path = put("a.txt", TEXT.encode(encoding))
    assert read(path, encoding=encoding) == [UTF8]
    assert "".join(line.text + line.ending for line in lines(path, encoding=encoding)) == TEXT


def test_drops_the_mark_of_utf16_whose_byte_order_was_given(put):
    assert read(put("a.txt", ("\ufeff" + TEXT).encode("utf-16-le")), encoding="UTF-16LE") == [UTF8]


def test_wrong_bytes_of_another_encoding_become_broken_utf8(put):
    path = put("a.txt", "天".encode("gb18030") + b"\xff" + "地\n".encode("gb18030") + b"\x81")
    assert read(path, encoding="gb18030") == ["天".encode() + b"\xff" + "地\n".encode() + b"\xff"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_hints_at_the_encoding_of_utf16_taken_for_utf8(put, encoding):
    packed = put("a.gz", gzip.compress(TEXT.encode(encoding)))
    for path in (put("a.txt", TEXT.encode(encoding)), packed):
        for reader in (read, lines):
            with pytest.raises(InputError, match=f"{path}: not UTF-8") as caught:
                reader(path)
            assert caught.value.hint == f"--encoding {encoding}"


@pytest.mark.parametrize("encoding", ["nonsense", "hex", "rot13", "undefined", "idna"])
def test_refuses_what_is_no_text_encoding(put, encoding):
    for reader in (read, lines):
        with pytest.raises(ValueError, match="unknown encoding"):
            reader(put("a.txt", TEXT), encoding=encoding)


# Files that cannot be read


@pytest.mark.parametrize("reader", [read, lines])
def test_says_which_file_is_missing(tmp_path, reader):
    with pytest.raises(InputError, match=f"^{tmp_path}/no.txt: No such file"):
        reader(tmp_path / "no.txt")


@pytest.mark.parametrize("reader", [read, lines])
def test_refuses_a_folder_and_hints_at_its_files(tmp_path, reader):
    with pytest.raises(InputError, match="Is a directory") as caught:
        reader(tmp_path)
    assert str(tmp_path / "*.txt") in caught.value.hint


def test_says_that_a_file_may_not_be_read(put):
    path = put("a.txt", UTF8)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read everything")
    with pytest.raises(InputError, match="Permission denied"):
        read(path)


def test_says_that_reading_failed(tmp_path, monkeypatch):
    class Failing(io.BytesIO):
        def read1(self, size=-1):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Failing(b"")))
    with pytest.raises(InputError, match=r"^<stdin>: Input/output error"):
        read(Path("-"))


def test_hints_at_a_pipe_when_too_many_files_are_open(put):
    code = """
import resource, sys
from pathlib import Path
from nlpkit.errors import InputError
from nlpkit.text import open_sources
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
try:
    with open_sources([Path(sys.argv[1])] * 30, spool_bytes=9): pass
except InputError as error:
    print(error, error.hint)
"""
    out = output(python(code, put("a.txt", UTF8))).decode()
    assert "Too many open files" in out
    assert "cat FILE..." in out


# Standard input


def test_maps_redirected_standard_input_from_where_it_stands(put):
    with put("a.txt", "skip" + TEXT).open("rb") as file:
        file.seek(4)
        out = output(python(READ_STDIN, stdin=file))
    assert out.decode() == f"<stdin>|memoryview|{UTF8}|b''"


def test_maps_redirected_standard_input_whole(put):
    with put("a.txt", UTF8).open("rb") as file:
        assert output(python(READ_STDIN, stdin=file)).decode() == f"<stdin>|mmap|{UTF8}|b''"


def test_redirected_standard_input_at_its_end_is_empty(put):
    with put("a.txt", UTF8).open("rb") as file:
        file.seek(0, os.SEEK_END)
        assert output(python(READ_STDIN, stdin=file)).decode() == "<stdin>|bytes|b''|b''"


def test_spools_a_pipe():
    out = output(python(READ_STDIN, stdin=subprocess.PIPE), codecs.BOM_UTF8 + UTF8)
    assert out.decode() == f"<stdin>|memoryview|{UTF8}|b''"


def test_says_that_standard_input_is_closed(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="closed"):
        read(Path("-"))


def test_reads_a_named_pipe_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[UTF8])
    writer.start()
    assert read(tmp_path / "pipe") == [UTF8]
    writer.join()


# The spool


@needs_proc
@pytest.mark.parametrize(("limit", "on_disk"), [(2 * len(UTF8), False), (2 * len(UTF8) - 1, True)])
def test_all_spooled_inputs_share_the_limit_and_leave_no_name(put, tmp_path, limit, on_disk):
    folder = tmp_path / "spool"
    folder.mkdir()
    paths = [put("a.gz", gzip.compress(UTF8)), put("b.xz", lzma.compress(UTF8))]
    with open_sources(paths, spool_bytes=limit, tmp=folder) as found:
        held = {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}
        assert any(name.startswith(str(folder)) for name in held) == on_disk
        assert list(folder.iterdir()) == []
        assert [bytes(source.data) for source in found] == [UTF8, UTF8]
        assert all(source.data.readonly for source in found)
        with pytest.raises(TypeError):
            found[0].data[0] = 0
    held = {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}
    assert not any(name.startswith(str(folder)) for name in held)


def test_hints_at_another_folder_when_the_disk_is_full(put, tmp_path):
    code = """
import resource, sys
from pathlib import Path
from nlpkit.errors import OutputError
from nlpkit.text import open_sources
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 21, 1 << 21))
try:
    with open_sources([Path(sys.argv[1])], spool_bytes=9, tmp=Path(sys.argv[2])): pass
except OutputError as error:
    print(error, error.hint)
"""
    out = output(python(code, put("a.gz", gzip.compress(bytes(5 << 20), 1)), tmp_path)).decode()
    assert out.startswith(f"{tmp_path}: cannot keep the input there: File too large --tmp")


def test_hints_at_another_folder_when_there_is_none(put):
    with pytest.raises(OutputError, match=r"^/no/such: ") as caught:
        read(put("a.gz", gzip.compress(UTF8)), spool_bytes=0, tmp=Path("/no/such"))
    assert "--tmp" in caught.value.hint


def test_memory_on_a_stream_is_bounded(tmp_path):
    code = """
import sys, tracemalloc
from pathlib import Path
from nlpkit.text import iter_lines, open_sources
tracemalloc.start()
if sys.argv[1] == "sources":
    with open_sources([Path("-")], spool_bytes=4 << 20, tmp=Path(sys.argv[2])) as [source]:
        print(len(source.data))
else:
    print(sum(len((line.text + line.ending).encode()) for line in iter_lines([Path("-")])))
print(tracemalloc.get_traced_memory()[1])
"""
    chunk = ("天地玄黄" * 3000 + "\n").encode()
    chunk *= (5 << 20) // len(chunk)
    for kind in ("sources", "lines"):
        process = python(code, kind, tmp_path, stdin=subprocess.PIPE)
        for _ in range(10):
            process.stdin.write(chunk)
        size, peak = map(int, output(process).split())
        assert size == 10 * len(chunk)
        assert peak < 10 << 20


def test_memory_on_a_bomb_is_bounded(put):
    packed = zstandard.ZstdCompressor(level=19).compress(bytes(300 << 20))
    assert len(packed) > 8 * 1024
    largest = total = 0
    path = put("a.zst", packed)
    with path.open("rb") as file:
        for piece in sources.read_pieces(file, path):
            largest, total = max(largest, len(piece)), total + len(piece)
    assert total == 300 << 20
    assert largest <= 40 << 20


def test_ctrl_c_leaves_nothing_behind(tmp_path):
    process = python(
        "import sys; from pathlib import Path; from nlpkit.text import open_sources\n"
        "with open_sources([Path('-')], spool_bytes=4, tmp=Path(sys.argv[1])): pass",
        tmp_path,
        stdin=subprocess.PIPE,
    )
    process.stdin.write(UTF8)
    process.stdin.flush()
    descriptors = Path(f"/proc/{process.pid}/fd")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not any(
        os.path.realpath(link).startswith(str(tmp_path)) for link in descriptors.iterdir()
    ):
        time.sleep(0.01)
    assert list(tmp_path.iterdir()) == []
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert err.decode().rstrip().endswith("KeyboardInterrupt")
    assert list(tmp_path.iterdir()) == []


# JSON Lines

RECORDS = '{"text": "天地"}\r\n\n{"id": 7, "text": "a\\nb"}'


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.jsonl.gz", "A.JSONL.XZ", "a.ndjson.zst"])
def test_takes_the_texts_of_json_lines_by_ending(put, name):
    pack = PACKERS.get(Path(name).suffix.lower(), bytes)
    path = put(name, pack(RECORDS.encode()))
    assert read(path) == ["天地\na\nb\n".encode()]
    assert lines(path) == [
        Line("天地", {"text": "天地"}, 1, "\r\n"),
        Line("a\nb", {"id": 7, "text": "a\nb"}, 3, ""),
    ]


def test_takes_the_texts_of_any_file_when_a_key_is_given(put):
    path = put("a.txt", '{"body": "天", "text": "no"}\n')
    assert read(path, text_key="body") == ["天\n".encode()]
    assert [line.text for line in lines(path, text_key="body")] == ["天"]
    assert read(path) == [path.read_bytes()]


def test_reads_json_lines_in_another_encoding(put):
    assert read(put("a.jsonl", RECORDS.encode("utf-16")), encoding="utf-16") == ["天地\na\nb\n".encode()]


BAD_RECORDS = {
    "{": "not JSON: ",
    "[1]": "not a JSON object",
    '{"id": 7}': "no key 'text'",
    '{"text": null}': "the value of 'text' is not a string",
    "[" * 100_000: "nested too deep",
}


@pytest.mark.parametrize("bad", BAD_RECORDS, ids=lambda bad: bad[:20])
@pytest.mark.parametrize("reader", [read, lines])
def test_refuses_a_bad_record_under_fail(put, bad, reader):
    path = put("a.jsonl", '{"text": "1"}\n' + bad + "\n")
    with pytest.raises(InputError) as caught:
        reader(path, on_error="fail")
    assert str(caught.value).startswith(f"{path}:2: ")
    assert BAD_RECORDS[bad] in str(caught.value)


def test_skips_bad_records_and_tells_once(put):
    first = put("a.jsonl", '{"text": "1"}\n[]\n{}\n{"text": "2"}\n')
    second = put("b.jsonl.gz", gzip.compress(b'{"text": 3}\n'))
    for reader, expected in ((read, [b"1\n2\n", b""]), (lines, ["1", "2"])):
        told = []
        got = reader(first, second, report=told.append)
        assert [getattr(item, "text", item) for item in got] == expected
        assert told == [f"records skipped: 3; the first at {first}:2: not a JSON object"]


def test_skipped_records_are_logged_without_a_callback(put, caplog):
    read(put("a.jsonl", '100%s\n{"text": "a"}\n'))
    assert "records skipped: 1" in caplog.text


def test_nothing_is_told_when_nothing_is_wrong(put):
    def fail(message):
        raise AssertionError(message)

    read(put("a.jsonl", RECORDS), put("a.txt", UTF8), report=fail)
    lines(put("a.jsonl", RECORDS), put("a.txt", UTF8), report=fail)


@pytest.mark.parametrize("inner", [b"\xff", b"\\ud83d", b"\\udcff"])
def test_broken_text_in_a_record_is_a_break_and_keeps_the_record(put, inner):
    path = put("a.jsonl", b'{"other": "\\ud83d\\ude00", "text": "a' + inner + b'b"}\n')
    assert read(path) == [b"a\xffb\n"]
    told = []
    [line] = lines(path, report=told.append)
    assert line.text == line.record["text"] == "a\ufffdb"
    assert line.record["other"] == "😀"
    assert "broken byte sequences, now U+FFFD: 1" in told[0]
    with pytest.raises(InputError, match=f"{path}:1: "):
        lines(path, on_error="fail")


# Lines


@pytest.mark.parametrize("text", ["", "\n", "a", "a\n", "a\r\nb\n\r\n", "a\rb\u2028c\x0bd\n\ne\r"])
def test_lines_can_be_written_back_unchanged(put, text):
    got = lines(put("a.txt", text))
    assert "".join(line.text + line.ending for line in got) == text
    assert [line.number for line in got] == list(range(1, len(got) + 1))
    assert not any(line.text.endswith("\n") for line in got)
    assert {line.ending for line in got} <= {"\n", "\r\n", ""}


@given(text=st.text("a天𠀀\r\n"), size=st.integers(1, 9))
def test_lines_do_not_depend_on_the_pieces(text, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "PIECE_BYTES", size)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        got = [line.text + line.ending for line in iter_lines([Path("-")])]
    assert got == io.StringIO(text, newline="\n").readlines()


def test_lines_drop_a_byte_order_mark(put):
    assert lines(put("a.txt", codecs.BOM_UTF8 + b"a")) == [Line("a", None, 1, "")]


def test_broken_sequences_are_replaced_counted_and_told_once(put):
    path, other = put("a.txt", b"ok\n\xff\xe4\xb8\n"), put("b.txt", b"\xc0")
    told = []
    assert [line.text for line in lines(path, other, report=told.append)] == ["ok", "��", "�"]
    assert told == [f"broken byte sequences, now U+FFFD: 3; the first at {path}:2: not utf-8"]
    with pytest.raises(InputError, match=f"^{path}:2: not utf-8"):
        lines(path, on_error="fail")


def test_a_line_comes_before_the_next_is_written():
    code = """
from pathlib import Path
from nlpkit.text import iter_lines
for line in iter_lines([Path("-")]):
    print(line.text, flush=True)
"""
    process = python(code, stdin=subprocess.PIPE)
    for word in (b"a\n", b"b\n"):
        process.stdin.write(word)
        process.stdin.flush()
        assert process.stdout.readline() == word
    output(process)
