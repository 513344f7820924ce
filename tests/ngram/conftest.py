"""Texts that are hard to read, and counting them in small shares."""

from collections.abc import Callable
from unittest.mock import patch

import pytest
from hypothesis import strategies as st

from nlpkit.ngram import census as census_module
from nlpkit.ngram import counts
from nlpkit.ngram.census import Census, take_census
from nlpkit.ngram.runs import Run, RunStore, key_layout

CHARACTERS = ["中", "文", "的", "𠀀", "カ", "々", "한", "龥"]
UNIT_PARTS = ["a", "B", "7", "é", "Я", "ａ", "e\u0301", "x" * 63, "é" * 65]
BREAKS = ["，", "\n", " ", "😀", "\ufffd", "\0", "\r\n"]
BROKEN = [
    b"\xff",
    b"\xc0\x80",
    b"\xe4",
    b"\xe4\xb8",
    b"\xf0\x9f",
    b"\xf0\xa0\x80",
    b"\xe0\x80\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\x80",
    b"\x80\x80\x80\x80\x80",
]
PIECES = [*[piece.encode() for piece in CHARACTERS * 2 + UNIT_PARTS + BREAKS], *BROKEN]

TEXT = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join),
    st.lists(st.sampled_from(PIECES[:3] + PIECES[16:19]), max_size=90).map(b"".join),
    st.text(max_size=30).map(str.encode),
    st.binary(max_size=30),
)


@pytest.fixture(scope="session")
def texts() -> st.SearchStrategy[list[bytes]]:
    """Strategy: one to three texts of all scripts, some broken."""
    return st.lists(TEXT, min_size=1, max_size=3)


@pytest.fixture(scope="session")
def characters() -> list[str]:
    """Code points that count one by one."""
    return CHARACTERS


@pytest.fixture(scope="session")
def census() -> Callable[..., Census]:
    """Take a census in small shares: census(texts, classes, share_bytes=..., threads=...)."""

    def take(texts, classes, share_bytes=1 << 20, threads=1, **more):
        with patch.object(census_module, "SHARE_BYTES", share_bytes):
            return take_census(texts, classes, threads=threads, **more)

    return take


@pytest.fixture(scope="session")
def count() -> Callable[..., Run]:
    """Count a census: count(census, alphabet, order, spilled=..., wide=..., threads=...).

    Spilled: every share is a run on disk of its own. Wide: keys have 128 bits.
    """

    def run(census, alphabet, order, spilled=False, wide=False, threads=1, **more):
        def layout(size, depth):
            return (min(128 // (depth - 1), 32), True) if wide else key_layout(size, depth)

        def blocks(census, room, symbol_bytes):
            return [[share] for share in census.shares]

        if spilled and len(census.shares) > 1:
            census.decoded.clear()
        kept = counts._blocks
        with (
            RunStore(None) as store,
            patch.object(counts, "key_layout", layout),
            patch.object(counts, "_blocks", blocks if spilled and census.shares else kept),
        ):
            return counts.count(census, alphabet, order, store=lambda: store, threads=threads, **more)

    return run
