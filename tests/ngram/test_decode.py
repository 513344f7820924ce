"""Bytes to code points and symbols, held against Python's own decoder."""

import codecs

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpkit.ngram import _kernel
from nlpkit.ngram.alphabet import word_classes
from nlpkit.ngram.reference import symbol_runs

CLASSES = word_classes()


def broken_places(data: bytes) -> list[int]:
    """Byte offsets of the sequences that Python replaces."""
    places: list[int] = []

    def note(error):
        places.append(error.start)
        return "\ufffd", error.end

    codecs.register_error("tests.note", note)
    data.decode("utf-8", "tests.note")
    return places


@settings(max_examples=300)
@given(data=st.data())
def test_code_points_and_broken_places_are_pythons(data, texts, census):
    corpus = data.draw(texts)
    found = census(
        corpus, CLASSES, data.draw(st.sampled_from([1, 2, 3, 7, 1 << 20])), data.draw(st.integers(1, 2))
    )
    decoded = [text.decode("utf-8", "replace") for text in corpus]
    broken = [broken_places(text) for text in corpus]
    assert sum(found.code_points) == sum(map(len, decoded))
    for share, num in zip(found.shares, found.code_points, strict=True):
        assert num == len(share.data[share.start : share.end].decode("utf-8", "replace"))
    assert found.num_broken == sum(map(len, broken))
    first = -1
    for number, places in enumerate(broken):
        if places:
            before = corpus[number][: places[0]].decode()
            first = sum(map(len, decoded[:number])) + len(before)
            break
    assert found.first_broken == first


LEADS = [0x41, 0x80, 0xBF, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF]
LEADS += [0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF]
NEXT = [0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xE4]


@pytest.mark.parametrize("lead", LEADS)
def test_every_edge_of_a_sequence_is_seen(lead):
    for one in NEXT:
        for two in (0x41, 0x80, 0xBF, 0xC0):
            for three in (0x41, 0x80, 0xBF, 0xC0):
                for tail in (b"", bytes([one]), bytes([one, two]), bytes([one, two, three])):
                    data = bytes([lead]) + tail
                    assert _kernel.code_points(data, 0, len(data)) == len(data.decode("utf-8", "replace"))


@settings(max_examples=150)
@given(data=st.data())
def test_offsets_point_at_the_symbols(data, texts):
    text = b"\xff".join(data.draw(texts))
    kernel = _kernel.alphabet_new(CLASSES)
    symbols, offsets = np.empty(len(text), np.uint32), np.empty(len(text), np.uint32)
    num, *_ = _kernel.decode(kernel, text, 0, len(text), symbols, offsets, True)
    blob, ends, _ = _kernel.alphabet_units(kernel)
    units = np.frombuffer(ends, np.uint64).tolist()
    found: list[list[str]] = [[]]
    for symbol, offset in zip(symbols[:num].tolist(), offsets[:num].tolist(), strict=True):
        if symbol == 0:
            found.append([])
            continue
        unit = symbol - 0x110000
        name = (
            bytes(blob[units[unit - 1] if unit else 0 : units[unit]]) if unit >= 0 else chr(symbol).encode()
        )
        assert text.startswith(name, offset)
        found[-1].append(name.decode())
    assert [run for run in found if run] == [run for run in symbol_runs(text, CLASSES) if run]
    assert not np.any((symbols[1:num] == 0) & (symbols[: max(num - 1, 0)] == 0)), "breaks in a row are one"


@given(data=st.data())
def test_places_become_code_points(data, texts):
    text = b"".join(data.draw(texts))
    starts = [0]
    while starts[-1] < len(text):
        starts.append(starts[-1] + 1)
        while starts[-1] < len(text) and len(text[: starts[-1]].decode("utf-8", "replace")) + len(
            text[starts[-1] :].decode("utf-8", "replace")
        ) != len(text.decode("utf-8", "replace")):
            starts[-1] += 1
    chosen = sorted(data.draw(st.lists(st.sampled_from(starts), max_size=10)))
    points = np.zeros(len(chosen), np.uint64)
    _kernel.code_points_at(text, 0, np.array(chosen, np.uint64), points)
    assert points.tolist() == [len(text[:start].decode("utf-8", "replace")) for start in chosen]


@pytest.mark.parametrize("length", [1, 63, 64, 65, 66, 200])
@pytest.mark.parametrize("share_bytes", [1, 10, 64, 65, 130, 1000])
@pytest.mark.parametrize("letter", ["x", "é", "ａ"])
def test_a_unit_has_at_most_64_code_points(census, length, share_bytes, letter):
    text = f"中{letter * length}文"
    found = census([text.encode()], CLASSES, share_bytes)
    expected = {"", "中", "文", *([letter * length] if length <= 64 else [])}
    assert set(found.alphabet(1).names) == expected
    assert sum(found.code_points) == len(text)


def test_breaks_end_a_run_and_letters_do_not():
    text = "中a，b文\0的\r\nカ".encode()
    runs = [run for run in symbol_runs(text, CLASSES) if run]
    assert runs == [["中", "a"], ["b", "文"], ["的"], ["カ"]]
