"""Texts on their way to token ids: pipes, repeats after a break, warnings, development text."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from nlpkit.bert.tokenizer import Tokenizer
from nlpkit.errors import InputError, OutputError
from nlpkit.mlm.corpus import DEV_EXAMPLES, Corpus, check_readable
from nlpkit.mlm.settings import MlmSettings

LINES = ["春天的花开了", "夏天的雨来了", "秋天的叶落了", "冬天的雪化了"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


@pytest.fixture
def told():
    return []


def text_file(tmp_path, name="a.txt", lines=LINES * 4):
    path = tmp_path / name
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def corpus_of(files, folder, told=None, **options):
    settings = MlmSettings(files, Path("m"), vocab_size=400, **options)
    return Corpus(settings, folder, lambda *_: None, (told if told is not None else []).append)


def decoded(corpus):
    tokenizer = Tokenizer(corpus.vocabulary(), lower_case=True)
    return [
        [tokenizer.decode(file.ids(number)) for number in range(len(file))]
        for file in corpus.files(tokenizer)
    ]


def test_each_file_becomes_ids_of_one_vocabulary(tmp_path, folder):
    files = [text_file(tmp_path), text_file(tmp_path, "b.txt", LINES[:2])]
    assert decoded(corpus_of(files, folder)) == [LINES * 4, LINES[:2]]


def test_a_pipe_is_read_once_and_used_twice(tmp_path, folder):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = text_file(tmp_path).read_bytes()
    writer = threading.Thread(target=pipe.write_bytes, args=[content])
    writer.start()
    assert decoded(corpus_of([pipe], folder)) == [LINES * 4]
    writer.join()


def test_a_resumed_run_needs_its_text_no_more(tmp_path, folder):
    path = text_file(tmp_path)
    dev = text_file(tmp_path, "dev.txt", LINES)
    first = corpus_of([path], folder, dev=dev)
    tokenizer = Tokenizer(first.vocabulary(), lower_case=True)
    before = decoded(first), [batch.token_ids.tolist() for batch in first.dev_batches(tokenizer)]
    path.unlink()
    dev.unlink()
    again = corpus_of([path], folder, dev=dev)
    after = decoded(again), [batch.token_ids.tolist() for batch in again.dev_batches(tokenizer)]
    assert before == after


def test_a_break_in_the_middle_of_the_ids_begins_them_anew(tmp_path, folder):
    path = text_file(tmp_path)
    decoded(corpus_of([path], folder))
    (folder / "text-0.tokens/facts.json").unlink()
    (folder / "text-0.tokens/ids.bin").write_bytes(b"torn")
    assert decoded(corpus_of([path], folder)) == [LINES * 4]


def test_broken_bytes_are_told_once(tmp_path, folder, told):
    path = text_file(tmp_path)
    path.write_bytes(path.read_bytes() + b"\xff\xfe" + "天的花开".encode() + b"\n")
    decoded(corpus_of([path], folder, told))
    assert len(told) == 1
    assert "a.txt:17" in told[0]


def test_records_are_read_by_their_key_in_the_development_text_too(tmp_path, folder):
    path, dev = tmp_path / "a.jsonl", tmp_path / "dev.jsonl"
    for place in (path, dev):
        place.write_text("".join(f'{{"body": "{line}"}}\n' for line in LINES * 3), "utf-8")
    corpus = corpus_of([path], folder, dev=dev, text_key="body")
    assert decoded(corpus) == [LINES * 3]
    tokenizer = Tokenizer(corpus.vocabulary(), lower_case=True)
    (batch,) = corpus.dev_batches(tokenizer)
    whole = batch.token_ids.copy()
    np.put_along_axis(whole, batch.positions, batch.gold, 1)
    assert sorted(tokenizer.decode(row) for row in whole) == sorted(LINES * 3)


def test_no_more_than_some_windows_of_a_long_development_text_are_measured(tmp_path, folder):
    corpus = corpus_of([text_file(tmp_path)], folder, dev=text_file(tmp_path, "dev.txt", LINES * 200))
    tokenizer = Tokenizer(corpus.vocabulary(), lower_case=True)
    batches = corpus.dev_batches(tokenizer)
    assert sum(len(batch.token_ids) for batch in batches) == DEV_EXAMPLES
    again = corpus.dev_batches(tokenizer)
    assert [b.positions.tolist() for b in batches] == [b.positions.tolist() for b in again]


def test_without_development_text_there_is_nothing_to_measure(tmp_path, folder):
    assert corpus_of([text_file(tmp_path)], folder).dev_batches(None) == []


def test_words_of_a_lexicon_are_marked(tmp_path, folder):
    (tmp_path / "words.txt").write_text("春天 50\n的 900\n花 500\n开 500\n了 900\n", "utf-8")
    corpus = corpus_of([text_file(tmp_path)], folder, lexicon=tmp_path / "words.txt")
    (file,) = corpus.files(Tokenizer(corpus.vocabulary(), lower_case=True))
    assert file.word_starts(0).tolist() == [True, False, True, True, True, True]


def test_an_empty_text_is_named(tmp_path, folder):
    with pytest.raises(InputError, match=r"b\.txt: no line"):
        decoded(corpus_of([text_file(tmp_path), text_file(tmp_path, "b.txt", ["", "一"])], folder))


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(OutputError, match=r"vocab\.txt: cannot write"):
        corpus_of([text_file(tmp_path)], tmp_path / "not-there").vocabulary()


def test_missing_files_are_told_before_any_work_and_pipes_are_left_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    check_readable([Path("-"), tmp_path / "pipe", text_file(tmp_path), None])
    with pytest.raises(InputError, match=r"gone\.txt"):
        check_readable([text_file(tmp_path), tmp_path / "gone.txt"])
    with pytest.raises(InputError, match="irectory"):
        check_readable([tmp_path])
