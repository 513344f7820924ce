"""Saved counts: there and back, added up, damaged."""

import io
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpkit.errors import InputError
from nlpkit.ngram import saved as saved_module
from nlpkit.ngram.alphabet import word_classes
from nlpkit.ngram.grams import gram_statistics
from nlpkit.ngram.passes import Words
from nlpkit.ngram.reference import count_grams
from nlpkit.ngram.runs import RunStore
from nlpkit.ngram.saved import (
    MAGIC,
    Counted,
    check_same,
    is_saved_counts,
    load_counts,
    merge_counts,
    occurrences_in,
    save_counts,
)

CLASSES = {split: word_classes(split_latin=split) for split in (False, True)}
FIELDS = ("counts", "left_entropy", "right_entropy", "cohesion")


@pytest.fixture(scope="session")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("saved") / "counts"


@pytest.fixture(scope="session")
def counted(census, count):
    def make(corpus, order=4, split_latin=False, share_bytes=1 << 20, **more):
        found = census(corpus, CLASSES[split_latin], share_bytes)
        alphabet = found.alphabet(1)
        return Counted(alphabet, count(found, alphabet, order, **more))

    return make


def through_disk(counts, path):
    path.unlink(missing_ok=True)  # what was loaded before stays mapped
    with path.open("wb") as out:
        save_counts(counts, out)
    return load_counts(path)


def table_of(counts, order, min_count):
    """All that is known of the grams, as bytes."""
    table = gram_statistics(counts.run, counts.alphabet, order, min_count)
    return [
        counts.alphabet.names,
        counts.alphabet.num_characters,
        counts.alphabet.num_all_symbols,
        counts.alphabet.counts.tobytes(),
        *[part.tobytes() for part in table.symbols],
        *[getattr(table, field).tobytes() for field in FIELDS],
    ]


@settings(max_examples=40)
@given(data=st.data())
def test_merged_files_are_as_if_all_texts_were_counted_at_once(data, texts, counted, file):
    corpora = data.draw(st.lists(texts, min_size=1, max_size=4), "corpora")
    order = data.draw(st.sampled_from([1, 2, 4, 8]), "order")
    split_latin = data.draw(st.booleans(), "split_latin")
    memory = data.draw(st.sampled_from([1, 200, 1 << 20]), "memory")
    wide = data.draw(st.booleans(), "wide")
    with_text = data.draw(st.booleans(), "with_text")
    parts = [through_disk(counted(corpus, order, split_latin), file) for corpus in corpora]
    text = counted(corpora[0], order, split_latin, wide=wide) if with_text else None
    with RunStore(None) as store:
        merged = merge_counts(
            text, parts[with_text:], CLASSES[split_latin], store=lambda: store, memory_bytes=memory
        )
    whole = counted([text for corpus in corpora for text in corpus], order, split_latin)
    min_count = data.draw(st.integers(1, 3))
    assert table_of(merged, order, min_count) == table_of(whole, order, min_count)


def test_a_file_holds_all_that_was_counted(counted, file):
    corpus = ["中文的中文iPhone12的".encode(), b"\xff \xf0\xa0\x80\x80"]
    counts = counted(corpus)
    found = through_disk(counts, file)
    assert found.names == counts.alphabet.names
    assert found.symbol_counts.tolist() == counts.alphabet.counts.tolist()
    assert (found.num_characters, found.num_all_symbols) == (4, 8)
    check_same(found, CLASSES[False], 5, "it")
    with pytest.raises(InputError, match="other symbols"):
        check_same(found, CLASSES[True], 5, "it")
    with pytest.raises(InputError, match="another order"):
        check_same(found, CLASSES[False], 4, "it")
    assert (found.run.depth, found.run.bits, found.run.wide) == (5, 3, False)
    for name in ("starts", "sizes", "keys", "counts"):
        assert np.array_equal(getattr(found.run, name), getattr(counts.run, name))


def test_wide_keys_of_a_file_can_be_renumbered_wherever_they_lie(counted, file):
    for size in range(520, 528):  # wide keys after 520 .. 528 bucket sizes
        text = "".join(map(chr, range(0x4E00, 0x4E00 + size))).encode()
        part = through_disk(counted([text], 8), file)
        assert part.run.wide
        with RunStore(None) as store:
            both = [part, through_disk(counted(["中文".encode()], 8), file.with_name("other"))]
            merged = merge_counts(None, both, CLASSES[False], store=lambda: store, memory_bytes=1 << 20)
        assert table_of(merged, 8, 1) == table_of(counted([text, "中文".encode()], 8), 8, 1)


@settings(max_examples=40)
@given(data=st.data())
def test_occurrences_are_exact_up_to_the_order_and_bounded_beyond(data, texts, counted, file):
    corpus, other = data.draw(texts, "corpus"), data.draw(texts, "other")
    order = data.draw(st.sampled_from([1, 2, 4]), "order")
    part = through_disk(counted(corpus, order), file)
    alphabet = counted(other, 1).alphabet
    grams = sorted(count_grams(other, CLASSES[False], order + 4))
    number = {name: symbol for symbol, name in enumerate(alphabet.names)}
    words = Words(
        np.array([number[name] for gram in grams for name in gram], np.uint32),
        np.cumsum([len(gram) for gram in grams], dtype=np.uint64),
    )
    twin = count_grams(corpus, CLASSES[False], order + 1)

    def least(gram):
        window = min(len(gram), order + 1)
        return min(twin[gram[i : i + window]] for i in range(len(gram) - window + 1))

    found = occurrences_in(part, words, alphabet.names, alphabet.num_characters)
    assert found.tolist() == [least(gram) for gram in grams]


def test_the_rarest_window_bounds_a_longer_word(counted, file):
    part = through_disk(
        counted(["一二三四，五六七八，".encode() * 5 + "七一二三，五六七九".encode()], 2), file
    )
    words = Words(
        np.array([part.names.index(name) for name in "七一二三五六七九五六七八"], np.uint32),
        np.array([4, 8, 12], np.uint64),
    )
    assert occurrences_in(part, words, part.names, part.num_characters).tolist() == [1, 1, 5]


def test_counts_without_a_letter_can_be_saved_and_merged(counted, file):
    empty = through_disk(counted([b"..."]), file)
    with RunStore(None) as store:
        merged = merge_counts(None, [empty, empty], CLASSES[False], store=lambda: store, memory_bytes=9)
    assert (merged.alphabet.names, merged.run.num_keys) == ([""], 0)


@pytest.fixture(scope="session")
def good(counted, tmp_path_factory):
    out = io.BytesIO()
    save_counts(counted(["中文的中文iPhone12的5G中".encode()]), out)
    return out.getvalue()


def refuse(path, data, match="damaged|no saved counts|empty"):
    path.write_bytes(data)
    with pytest.raises(InputError, match=match) as caught:
        load_counts(path)
    assert str(path) in str(caught.value)
    assert "--save-counts" in caught.value.hint


def test_no_byte_can_change_unseen(good, file):
    for place in range(len(good)):
        change = (1, 0x20, 0x80, 0xFF)[place % 4]
        refuse(file, good[:place] + bytes([good[place] ^ change]) + good[place + 1 :])


def test_no_byte_can_be_missing(good, file):
    for size in range(len(good)):
        refuse(file, good[:size])
    refuse(file, good + b"\0")


@pytest.mark.parametrize("data", [b"", b"\xe4\xb8\xad" * 40, MAGIC, MAGIC + b"\0" * 200, MAGIC + b"9" * 200])
def test_other_files_are_told_from_counts(data, file):
    refuse(file, data)
    assert is_saved_counts(data) == data.startswith(MAGIC)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load_counts(Path(tmp_path, "absent"))


def forged(good, **changes):
    """A file with other entries in its header and a checksum that agrees."""
    place = len(MAGIC) + saved_module._LINE_BYTES
    start = int(good[len(MAGIC) : place - 10])
    header = {**json.loads(good[place:start]), **changes}
    if changes.get("depth") == "deep":
        body = b"[" * 100_000
    else:
        body = json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogatepass")
    body = body.ljust(-(-(place + len(body)) // 64) * 64 - place)
    rest = body + good[start:]
    return MAGIC + b"%016d %08x\n" % (place + len(body), zlib.crc32(rest)) + rest


@pytest.mark.parametrize(
    "changes",
    [
        {"depth": 1},
        {"depth": 10},
        {"depth": None},
        {"depth": "deep"},
        {"names": []},
        {"names": ["", "中", "文", "文", "5G", "iPhone12"]},
        {"names": ["", "文", "中", "的", "5G", "iPhone12"]},
        {"names": ["", "中", "文", "的", "iPhone12", "5G"]},
        {"names": ["", "中文", "文", "的", "5G", "iPhone12"]},
        {"names": ["", "中", "文", "的", "5G", 7]},
        {"names": ["", "中", "文", "的", "5G"]},
        {"names": [chr(0x4E00 + n) for n in range(900)]},
        {"names": 5},
        {"num_characters": 5},
        {"symbol_counts": [1, 2]},
        {"symbol_counts": [-1] * 6},
        {"symbol_counts": None},
        {"num_all_symbols": None},
    ],
)
def test_a_header_that_cannot_be_is_refused(good, file, changes):
    refuse(file, forged(good, **changes))


def test_the_forger_changes_nothing_else(good, file):
    file.write_bytes(forged(good))
    assert load_counts(file).names == ["", "中", "文", "的", "5G", "iPhone12"]


def with_sizes(good, sizes):
    start = int(good[len(MAGIC) : len(MAGIC) + 16])
    return forged(good[:start] + np.array(sizes, np.uint64).tobytes() + good[start + 8 * len(sizes) :])


@pytest.mark.parametrize("sizes", [[0, 1 << 63, 1 << 63, 9], [0, 1 << 40], [(1 << 64) - 1]])
def test_buckets_beyond_the_file_are_refused(good, file, sizes):
    refuse(file, with_sizes(good, sizes))


def test_keys_with_symbols_of_no_bucket_are_refused(counted, file):
    counts = counted(["中文的字".encode()])
    counts.run.keys[0] |= np.uint64(7)
    part = through_disk(counts, file)
    with RunStore(None) as store, pytest.raises(InputError, match="damaged"):
        merge_counts(None, [part, part], CLASSES[False], store=lambda: store, memory_bytes=9)
