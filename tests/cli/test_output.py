import io
import json
import os
import sys
from dataclasses import dataclass

import pytest

from nlpkit.cli.output import Format, default_format, open_output, write_records
from nlpkit.errors import OutputError
from nlpkit.records import Word

WORD = Word("词\t语\\", 12, 1.23456789, -1e-9, 2.0, 3.0, True, 7, ("前\n词", "词后"))


@dataclass(frozen=True)
class Row:
    name: str
    value: float
    note: str


def written(records, fmt):
    out = io.StringIO()
    write_records(records, out, fmt)
    return out.getvalue()


def test_json_lines_keep_field_order_and_round_floats():
    line = written([WORD], Format.JSONL)
    assert list(json.loads(line)) == list(Word.__slots__)
    assert json.loads(line)["word"] == WORD.word
    assert '"score": 1.234568, "cohesion": 0.0, ' in line
    assert "词" in line


def test_json_lines_of_mappings_pass_through():
    assert written([{"b": 1, "a": 0.5}], Format.JSONL) == '{"b": 1, "a": 0.5}\n'


def test_float_that_is_not_finite_is_a_programming_error():
    with pytest.raises(ValueError, match="JSON"):
        written([Row("a", float("nan"), "")], Format.JSONL)


def test_tsv_has_a_header_and_escapes():
    head, line = written([WORD], Format.TSV).splitlines()
    assert head.split("\t") == list(Word.__slots__)
    assert line.split("\t")[0] == "词\\t语\\\\"
    assert line.split("\t")[6:] == ["true", "7", "前\\n词 | 词后"]


def test_jieba_lines_are_word_and_count():
    assert written([WORD], Format.JIEBA) == "词\t语\\ 12\n"


def test_text_joins_the_first_field():
    assert written([{"words": ["中文", "分词"], "n": 2}], Format.TEXT) == "中文 分词\n"
    assert written([{"text": "一\n二"}], Format.TEXT) == "一 二\n"


@pytest.mark.parametrize("fmt", Format)
def test_no_records_write_nothing(fmt):
    assert written([], fmt) == ""


def test_table_counts_cjk_as_two_cells_and_aligns_numbers(monkeypatch):
    monkeypatch.delenv("COLUMNS")
    text = written([Row("中文", 1.5, "甲"), Row("a", 20.25, "b")], Format.TABLE)
    assert text.splitlines() == [
        "name   value  note",
        "中文   1.500  甲",
        "a     20.250  b",
    ]


def test_table_cuts_the_last_column_but_never_the_first(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = written([Row("词" * 30, 1.0, "注" * 30)], Format.TABLE)
    assert "词" * 30 in text
    assert "注" * 5 not in text


def test_table_keeps_control_characters_off_the_terminal():
    assert "\x1b" not in written([Row("\x1b[31m红", 1.0, "")], Format.TABLE)


@pytest.mark.parametrize(
    ("env", "bold"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour_obeys_the_environment(monkeypatch, env, bold):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert ("\033[1m" in written([Row("a", 1.0, "")], Format.TABLE)) is bold


def test_batches_reach_the_reader_before_the_source_ends():
    out = io.StringIO()
    flushed = []
    out.flush = lambda: flushed.append(out.getvalue())

    def source():
        yield {"a": 1}
        yield {"a": 2}
        assert flushed == ['{"a": 1}\n{"a": 2}\n']
        yield {"a": 3}

    write_records(source(), out, Format.JSONL, batch=2)
    assert len(flushed) == 2


def test_pipe_or_file_gets_json_lines(tmp_path):
    assert default_format(None) is Format.JSONL
    assert default_format(tmp_path / "x") is Format.JSONL


def test_file_appears_complete_and_only_then(tmp_path):
    path = tmp_path / "out.txt"
    with open_output(path) as out:
        out.write("中\n\ud800")
        assert not path.exists()
    assert path.read_bytes() == "中\n\\ud800".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_existing_file_is_refused_without_force(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(OutputError, match="exists") as refusal, open_output(path):
        pass
    assert "--force" in refusal.value.hint
    assert path.read_text() == "old"


def test_force_replaces_the_file_and_keeps_its_mode_and_link(tmp_path):
    path, link = tmp_path / "out.txt", tmp_path / "link.txt"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    with open_output(link, force=True) as out:
        out.write("new")
    assert path.read_text() == "new"
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640


def test_failure_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")

    def fail_halfway():
        with open_output(path, force=True) as out:
            out.write("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_halfway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_is_not_there_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="No such file"), open_output(tmp_path / "no/x"):
        pass


def test_folder_as_output_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="folder"), open_output(tmp_path, force=True):
        pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_leaves_no_file(tmp_path, monkeypatch):
    path = tmp_path / "out.txt"
    monkeypatch.setattr(type(path), "open", _open_on_full_disk)

    def fill():
        with open_output(path) as out:
            out.write("text")

    with pytest.raises(OutputError, match=r"out\.txt: cannot write: No space left"):
        fill()
    assert list(tmp_path.iterdir()) == []


def _open_on_full_disk(path, mode):
    path.touch()
    return open("/dev/full", mode.replace("x", "w"))


def test_error_of_the_commands_own_reading_is_not_blamed_on_the_output(tmp_path):
    def read_and_write():
        with open_output(tmp_path / "out.txt"):
            (tmp_path / "missing").read_text()

    with pytest.raises(FileNotFoundError):
        read_and_write()


def test_devices_and_pipes_are_written_directly(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with open_output(pipe) as out:
        out.write("text")
    assert os.read(reader, 100) == b"text"
    os.close(reader)
    assert pipe.is_fifo()
    with open_output(type(pipe)(os.devnull)) as out:
        out.write("text")


def test_a_table_leaves_out_columns_that_do_not_fit(capsys, monkeypatch):
    records = [{"word": "中文分词", "count": 1, "context": "一" * 40}]
    for columns, names in ((80, "word      count  context"), (20, "word      count"), (5, "word")):
        monkeypatch.setenv("COLUMNS", str(columns))
        write_records(records, sys.stdout, Format.TABLE)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == names
        assert len(lines) == 2
