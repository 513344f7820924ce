"""What people feed to the commands by mistake, or by the gigabyte."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "data/city.txt").read_text(encoding="utf-8")
WORD = "剧本杀"
SEED = ["--method", "cohesion", "--all", "--min-count", "8"]  # finds it whatever is added to the text


def run(*args, stdin=b""):
    return subprocess.run(
        [sys.executable, "-m", "nlpkit", *map(str, args)], input=stdin, capture_output=True, check=False
    )


def records(done):
    return {record["word"]: record for record in map(json.loads, done.stdout.splitlines())}


def test_binary_data_end_with_a_warning_not_a_crash():
    done = run("discover", "-", stdin=bytes(range(256)) * 2000)
    assert done.returncode == 0
    assert b"warning: <stdin>:2: not utf-8" in done.stderr


def test_broken_utf8_is_a_break_that_is_reported_with_its_first_place():
    text = TEXT.encode()
    done = run("discover", "-", *SEED, stdin=text + b"\xe4\xb8" + text + b"\xff" + text)
    assert records(done)[WORD]["count"] == 3 * TEXT.count(WORD)
    line = TEXT.count("\n") + 1
    assert f"<stdin>:{line}: not utf-8, 2 broken sequences in all, the first at code point {len(TEXT):,}" in (
        done.stderr.decode()
    )


def test_broken_utf8_is_an_input_error_on_demand():
    done = run("discover", "-", "--on-error", "fail", stdin=TEXT.encode() + b"\xff")
    assert done.returncode == 3
    assert not done.stdout


def test_broken_utf8_in_segment_is_reported_by_line():
    done = run("segment", "-", "--method", "jieba", "--format", "text", stdin="好\n".encode() + b"\xff\n")
    assert done.returncode == 0
    assert b"<stdin>:2" in done.stderr


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_byte_order_mark_and_any_line_end_change_no_word(mark, ending):
    text = TEXT.replace("\n", ending).rstrip()
    word = records(run("discover", "-", stdin=mark + text.encode()))[WORD]
    assert (word["count"], word["first"]) == (text.count(WORD), text.index(WORD))


def test_emoji_and_rare_characters_are_counted_by_code_point():
    around = ["去{}吧", "😀{}🍜", "爱{}的", "新{}开", "在{}吃", "说{}好", "到{}了"]
    text = TEXT + "，".join(around).format(*["𠮷野家"] * len(around))
    word = records(run("discover", "-", stdin=text.encode()))["𠮷野家"]
    assert (word["count"], word["first"]) == (len(around), text.index("𠮷野家"))
    assert "😀𠮷野家🍜" in word["contexts"][1]


def test_one_endless_line_is_counted_to_its_end():
    text = TEXT.replace("\n", "。") * 100
    done = run("discover", "-", *SEED, "--min-count", "800", stdin=text.encode())
    word = records(done)[WORD]
    assert (word["count"], word["first"]) == (text.count(WORD), text.index(WORD))


def test_an_endless_run_of_letters_is_no_word():
    done = run("discover", "-", stdin=b"a" * 3_000_000)
    assert (done.returncode, done.stdout) == (0, b"")


def test_a_closed_pipe_is_silent():
    command = f"{sys.executable} -m nlpkit discover data/*.txt --refine | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "141"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_an_output_error():
    done = run("discover", "data/ev.txt", "-o", "/dev/full")
    assert done.returncode == 6
    assert b"No space left" in done.stderr


def test_an_output_file_is_neither_overwritten_nor_left_half(tmp_path):
    out = tmp_path / "words.jsonl"
    out.write_text("mine")
    assert run("discover", "data/ev.txt", "-o", out).returncode == 6
    assert out.read_text() == "mine"
    assert run("discover", "nowhere.txt", "-o", out, "--force").returncode == 3
    assert [path.name for path in tmp_path.iterdir()] == ["words.jsonl"]
    assert run("discover", "data/ev.txt", "-o", out, "--force").returncode == 0
    assert json.loads(out.read_text().splitlines()[0])["word"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_an_input_error(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text("秘密")
    path.chmod(0)
    assert run("discover", path).returncode == 3


def test_ctrl_c_ends_with_130_and_leaves_nothing_behind(tmp_path):
    text = tmp_path / "text.txt"
    text.write_bytes("".join(chr(0x4E00 + i * 7919 % 20000) for i in range(6_000_000)).encode())
    out = tmp_path / "out.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "nlpkit", "discover", text, "--refine", "-o", out, "--tmp", tmp_path],
        stderr=subprocess.PIPE,
    )
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


def test_memory_and_threads_change_no_byte():
    text = (TEXT + "".join(chr(0x4E00 + i * i % 4999) for i in range(500_000))).encode()
    outputs = {
        run("discover", "-", *SEED, *options, stdin=text).stdout
        for options in ([], ["--threads", "1"], ["--threads", "3"], ["--memory", "2M"])
    }
    assert len(outputs) == 1
    assert WORD in outputs.pop().decode()


def test_saved_counts_of_two_files_are_those_of_both(tmp_path):
    for name in ("ai", "ev"):
        assert run("discover", f"data/{name}.txt", "--save-counts", tmp_path / name).returncode == 0
    merged = run("discover", "--counts", tmp_path / "ai", "--counts", tmp_path / "ev", "--min-count", "4")
    together = run("discover", "data/ai.txt", "data/ev.txt", "--min-count", "4")
    fields = ("word", "count", "score", "left_entropy")
    figures = [
        [[record[field] for field in fields] for record in records(done).values()]
        for done in (merged, together)
    ]
    assert figures[0] == [figure for figure in figures[1] if len(figure[0]) <= 4] != []


def test_a_report_is_written_beside_the_list(tmp_path):
    page = tmp_path / "words.html"
    done = run("discover", "data/ev.txt", "--report", page)
    assert next(iter(records(done))) in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "args",
    [
        ["discover", "-", "-"],
        ["discover", "-", "--known", "-"],
        ["discover", "data/ev.txt", "-o", "same", "--report", "same"],
        ["discover", "data/ev.txt", "--method", "cohesion", "--background", "data/ai.txt"],
        ["discover", "data/ev.txt", "--refine", "--background", "data/ai.txt"],
        ["discover", "data/ev.txt", "--tmp", "/no/such/folder"],
    ],
)
def test_options_that_contradict_each_other_are_a_usage_error(args):
    done = run(*args)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"hint: see nlpkit discover --help" in done.stderr


def test_saved_counts_as_text_are_told_from_text(tmp_path):
    counts = tmp_path / "counts"
    run("discover", "data/ev.txt", "--save-counts", counts)
    done = run("discover", counts)
    assert done.returncode == 3
    assert b"hint: give them with --counts" in done.stderr


def test_what_is_written_beside_survives_a_reader_that_stops(tmp_path):
    counts = tmp_path / "counts"
    command = f"{sys.executable} -m nlpkit discover data/*.txt --all --save-counts {counts} | head -n 1"
    subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert run("discover", "--counts", counts).returncode == 0


def test_a_dictionary_that_is_no_text_is_an_input_error(tmp_path):
    path = tmp_path / "dictionary"
    path.write_bytes("好\n".encode() + b"\xff\n")
    done = run("discover", "data/ev.txt", "--known", path)
    assert done.returncode == 3
    assert f"{path}:2: not UTF-8".encode() in done.stderr


def test_an_empty_lexicon_is_not_taken_for_none(tmp_path):
    lexicon = tmp_path / "lexicon"
    lexicon.write_text("")
    done = run("segment", "--lexicon", lexicon, stdin="续航焦虑".encode())
    assert (done.returncode, done.stdout) == (3, b"")


def test_text_of_another_encoding_is_told_from_text_with_a_fault():
    done = run("discover", "-", stdin=TEXT.encode("gb18030"))
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"--encoding gb18030" in done.stderr
    assert WORD in records(run("discover", "-", "--encoding", "gb18030", stdin=TEXT.encode("gb18030")))


def test_an_input_is_never_overwritten(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    assert run("discover", path, "-o", path, "--force").returncode == 2
    assert run("segment", path, "-o", path, "--force").returncode == 2
    assert path.read_text(encoding="utf-8") == TEXT


def test_a_key_that_no_record_has_is_an_input_error():
    assert run("discover", "data/notes.jsonl", "--text-key", "nope").returncode == 3
    assert run("segment", "data/notes.jsonl", "--text-key", "nope", "--method", "jieba").returncode == 3


def test_a_segmentation_in_json_lines_can_be_scored(tmp_path):
    gold = ROOT / "data/gold/segment.txt"
    raw, found = tmp_path / "raw.txt", tmp_path / "found.jsonl"
    raw.write_text(gold.read_text(encoding="utf-8").replace("  ", ""), encoding="utf-8")
    run("segment", raw, "--method", "jieba", "-o", found)
    score = json.loads(run("evaluate", "segment", gold, "--found", found).stdout)
    assert score == json.loads(run("evaluate", "segment", gold, "--method", "jieba").stdout)
    assert run("evaluate", "segment", raw).returncode == 3


def test_a_lexicon_cuts_only_between_its_words_and_leaves_marks_alone(tmp_path):
    lexicon = tmp_path / "lexicon"
    long = "长" * 70
    lexicon.write_text(f"，中 1000\n国家 5\nC++ 100\n{long} 9\n", encoding="utf-8")
    done = run("segment", "--lexicon", lexicon, "--format", "text", stdin="我，国家C++好".encode())
    assert done.stdout.decode() == "我  ，  国家  C  ++  好"


def test_a_named_pipe_is_segmented_by_its_own_words(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    feeder = subprocess.Popen(["bash", "-c", f"cat data/city.txt > {pipe}"])
    try:
        done = run("segment", pipe, "--format", "text")
    finally:
        feeder.kill()
        feeder.wait()
    assert done.stdout.decode().replace("  ", "") == TEXT.replace("  ", "")


def test_fields_of_a_record_are_passed_on_as_they_are():
    record = {"text": "中文分词", "x": 1.23456789e-7, "id": "甲"}
    done = run("segment", "--text-key", "text", "--method", "jieba", stdin=json.dumps(record).encode())
    assert json.loads(done.stdout) == {**record, "words": ["中文", "分词"], "offsets": [[0, 2], [2, 4]]}


def test_a_number_that_json_does_not_know_is_a_bad_record():
    line = b'{"text": "\xe5\xa5\xbd", "x": NaN}\n'
    done = run("segment", "--text-key", "text", "--on-error", "fail", "--method", "jieba", stdin=line)
    assert done.returncode == 3
    assert b"<stdin>:1: not JSON: NaN" in done.stderr
