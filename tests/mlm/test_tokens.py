"""A corpus as token ids on disk: what was written comes back, a line at a time."""

import json
import resource
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpkit.errors import InputError, OutputError
from nlpkit.mlm import tokens as module
from nlpkit.mlm.tokens import MIN_TOKENS, TokenFile, is_complete, write_tokens


def by_code_point(text):
    """One token for each character, its id the code point less that of 一."""
    return [ord(character) - 0x4E00 for character in text], None


def marked(text):
    """The same, and a word starts at every 一."""
    return by_code_point(text)[0], [character == "一" for character in text]


def line_of(ids):
    return "".join(chr(0x4E00 + number) for number in ids)


def written(folder, lines, tokens=by_code_point, vocab_size=100, max_tokens=10):
    return write_tokens(
        lines, tokens, folder / "tokens", name="a.txt", vocab_size=vocab_size, max_tokens=max_tokens
    )


@given(st.lists(st.lists(st.integers(0, 99), max_size=60), max_size=12), st.integers(4, 20))
def test_every_line_comes_back_in_parts_of_about_equal_length(tmp_path_factory, lines, max_tokens):
    folder = tmp_path_factory.mktemp("corpus")
    long = [ids for ids in lines if len(ids) >= MIN_TOKENS]
    if not long:
        with pytest.raises(InputError, match="no line"):
            written(folder, map(line_of, lines), max_tokens=max_tokens)
        return
    file = written(folder, map(line_of, lines), max_tokens=max_tokens)
    found = [file.ids(example).tolist() for example in range(len(file))]
    assert file.lengths.tolist() == [len(ids) for ids in found]
    for ids in long:
        parts = []
        while sum(map(len, parts)) < len(ids):
            parts.append(found.pop(0))
        assert [number for part in parts for number in part] == ids
        sizes = [len(part) for part in parts]
        assert max(sizes) <= max_tokens
        assert max(sizes) - min(sizes) <= 1
        assert len(parts) == -(-len(ids) // max_tokens)
    assert found == []


def test_word_starts_come_back_beside_the_ids(tmp_path):
    file = written(tmp_path, ["一丁一一丁丁", "丁丁丁一"], marked, max_tokens=4)
    marks = [file.word_starts(example).tolist() for example in range(len(file))]
    assert marks == [[True, False, True], [True, False, False], [False, False, False, True]]
    assert file.word_starts(0).dtype == bool


def test_without_words_every_token_starts_one(tmp_path):
    file = written(tmp_path, ["一二三四五"])
    assert file.word_starts(0).tolist() == [True] * 5


@pytest.mark.parametrize(("vocab_size", "itemsize"), [(1 << 16, 2), ((1 << 16) + 1, 4)])
def test_ids_take_two_bytes_where_they_can(tmp_path, vocab_size, itemsize):
    highest = vocab_size - 1
    file = written(tmp_path, ["line"], lambda _: ([0, 1, 2, highest], None), vocab_size=vocab_size)
    assert file.ids(0).tolist() == [0, 1, 2, highest]
    assert file.ids(0).dtype == np.int32
    assert (tmp_path / "tokens/ids.bin").stat().st_size == 4 * itemsize


def test_blocks_meet_without_a_seam(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_FLUSH_TOKENS", 7)
    lines = [[n, n + 1, n + 2, n + 3] for n in range(20)]
    file = written(tmp_path, map(line_of, lines))
    assert [file.ids(example).tolist() for example in range(20)] == lines


def test_a_written_corpus_is_mapped_and_not_read(tmp_path):
    file = written(tmp_path, ["一二三四"] * 50)
    assert isinstance(file._ids, np.memmap)
    again = TokenFile(tmp_path / "tokens")
    assert [again.ids(n).tolist() for n in range(len(again))] == [file.ids(n).tolist() for n in range(50)]


def test_a_corpus_larger_than_the_memory_it_may_take(tmp_path):
    # 16 million tokens, 64 MB as int32, in a process that may take 40 MB more than it starts with.
    code = """
import resource, sys
from pathlib import Path
from nlpkit.mlm.tokens import write_tokens
ids = list(range(1000)) * 4
def lines():
    pages = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (pages + (40 << 20), resource.RLIM_INFINITY))
    yield from ("" for _ in range(4000))
tokens = lambda _: (ids, None)
file = write_tokens(lines(), tokens, Path(sys.argv[1]), name="a", vocab_size=1000, max_tokens=126)
assert file.lengths.sum() == 16_000_000
assert file.ids(len(file) - 1)[-1] == 999
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_text_with_nothing_to_learn_from_is_named(tmp_path):
    with pytest.raises(InputError, match=r"^a\.txt: no line has 4 tokens"):
        written(tmp_path, ["一二三", ""])
    assert not is_complete(tmp_path / "tokens")


def test_a_corpus_is_complete_only_at_its_end(tmp_path):
    def lines():
        yield "一二三四"
        raise KeyboardInterrupt

    written(tmp_path, ["一二三四"])
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path, lines())
    assert not is_complete(tmp_path / "tokens")
    written(tmp_path, ["一二三四"])
    assert is_complete(tmp_path / "tokens")


def test_a_full_disk_is_told(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OutputError, match="cannot write"):
            written(tmp_path, ["一二三四五六七八"] * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_facts_are_json(tmp_path):
    written(tmp_path, ["一二三四"])
    facts = json.loads((tmp_path / "tokens/facts.json").read_text("utf-8"))
    assert facts == {"dtype": "uint16", "marked": False}
