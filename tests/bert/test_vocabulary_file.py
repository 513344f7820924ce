"""Vocabularies of other programs: vocab.txt and tokenizer.json."""

import json

import pytest

from nlpkit.bert.vocabulary_file import read_tokens
from nlpkit.errors import ModelError

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "<S>", "中", "##a", "é"]


def fast(tokens, lowercase=True, kind="WordPiece"):
    numbers = {token: number for number, token in reversed(list(enumerate(tokens)))}
    return json.dumps({"normalizer": {"lowercase": lowercase}, "model": {"type": kind, "vocab": numbers}})


def refused(folder, *words):
    with pytest.raises(ModelError) as caught:
        read_tokens(folder)
    for word in (str(folder), *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_reads_a_token_a_line(tmp_path, ending, mark):
    tokens = [*TOKENS, "\u2028", " ", "\u3000"]
    (tmp_path / "vocab.txt").write_bytes((mark + ending.join(tokens) + ending).encode())
    assert read_tokens(tmp_path) == (tmp_path / "vocab.txt", tokens, True)


def test_the_last_line_needs_no_end(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENS), "utf-8")
    assert read_tokens(tmp_path)[1] == TOKENS


def test_blank_lines_and_all_but_the_last_of_equal_ones_keep_their_rows(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\na\n\nb\na\n\n", "utf-8")
    tokens = read_tokens(tmp_path)[1]
    assert tokens[0::3] == ["[PAD]", "b"]
    assert tokens[4] == "a"
    assert len(set(tokens)) == len(tokens) == 6
    assert all(tokens)


def test_reads_tokenizer_json_where_there_is_no_vocab_txt(tmp_path):
    (tmp_path / "tokenizer.json").write_text(fast(TOKENS))
    assert read_tokens(tmp_path) == (tmp_path / "tokenizer.json", TOKENS, True)


@pytest.mark.parametrize(
    ("tokens", "config", "normalizer", "lower_case"),
    [
        (["中", "a"], None, None, True),
        (["中", "a"], False, False, True),  # as bert-base-chinese says, which has no capitals
        (["中", "a", "[MASK]", "<T>"], None, None, True),
        (["中", "A"], None, None, False),
        (["中", "##A"], True, False, True),
        (["中", "A"], False, True, False),
        (["中", "A"], None, True, True),
    ],
)
def test_tells_whether_text_is_lower_cased(tmp_path, tokens, config, normalizer, lower_case):
    (tmp_path / "vocab.txt").write_text("\n".join(tokens), "utf-8")
    if config is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": config}))
    if normalizer is not None:
        (tmp_path / "tokenizer.json").write_text(fast(tokens, normalizer))
    assert read_tokens(tmp_path)[2] is lower_case


def test_other_tokenizers_are_named(tmp_path):
    refused(tmp_path, "no vocab.txt")
    (tmp_path / "merges.txt").touch()
    refused(tmp_path, "merges.txt", "not supported")
    (tmp_path / "tokenizer.json").write_text(fast(TOKENS, kind="BPE"))
    refused(tmp_path, "its tokenizer is BPE", "not supported")


@pytest.mark.parametrize(
    "numbers", [{}, {"a": 1}, {"a": 0, "b": 2}, {"a": 0, "b": 0}, {"a": "0"}, {"a": [0]}, [], None, "ab"]
)
def test_tokens_without_their_numbers_are_refused(tmp_path, numbers):
    fields = {"model": {"type": "WordPiece", "vocab": numbers}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(fields))
    refused(tmp_path, "tokenizer.json", "numbered")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / "vocab.txt"
    file.write_bytes(b"\xff\n")
    refused(tmp_path, "not UTF-8")
    file.write_bytes(b"")
    refused(tmp_path, "no token")
