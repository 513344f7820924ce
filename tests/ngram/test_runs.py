"""Runs on disk: merging, and what is left behind."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpkit.errors import InputError, OutputError
from nlpkit.ngram import census as census_module
from nlpkit.ngram import counts
from nlpkit.ngram.alphabet import word_classes
from nlpkit.ngram.census import take_census
from nlpkit.ngram.runs import Run, RunStore, ends_of, key_layout, key_type

CLASSES = word_classes()


def small_run(grams, size=5, wide=False):
    """A run of {(first symbol, key): count} entries, in buckets with a gap before each."""
    grams = sorted(grams.items())
    sizes = np.zeros(size + 1, np.uint64)
    keys, numbers, starts = [], [], []
    for bucket in range(size + 1):
        keys.append((0, 0))
        numbers.append(0)
        starts.append(len(keys))
        for (first, key), count in grams:
            if first == bucket:
                keys.append((key & (1 << 64) - 1, key >> 64))
                numbers.append(count)
                sizes[bucket] += np.uint64(1)
    all_keys = np.array(keys, key_type(True))
    return Run(
        np.array([*starts, len(keys)], np.uint64),
        sizes,
        all_keys if wide else all_keys["low"].copy(),
        np.array(numbers, np.uint32),
        32 if wide else 16,
        5,
        wide,
    )


def entries(run):
    """The entries of a run, in order."""
    found = []
    for bucket, (start, size) in enumerate(zip(run.starts.tolist(), run.sizes.tolist(), strict=False)):
        for place in range(start, start + size):
            key = run.keys[place]
            number = int(key["low"]) | int(key["high"]) << 64 if run.wide else int(key)
            found.append(((bucket, number), int(run.counts[place])))
    return found


GRAMS = st.dictionaries(st.tuples(st.integers(1, 5), st.integers(0, 6)), st.integers(1, 9), max_size=12)


@settings(max_examples=60)
@given(
    parts=st.lists(GRAMS, min_size=1, max_size=20), wide=st.booleans(), memory=st.sampled_from([1, 60, 9999])
)
def test_merging_adds_up_the_counts_of_equal_grams(parts, wide, memory):
    factor = 1 << 66 if wide else 1
    total: dict[tuple[int, int], int] = {}
    with RunStore(None) as store:
        for part in parts:
            for (first, key), count in part.items():
                total[first, key * factor] = total.get((first, key * factor), 0) + count
            store.add(small_run({(first, key * factor): n for (first, key), n in part.items()}, wide=wide))
        merged = store.merged(memory)
    assert entries(merged) == sorted(total.items())


@pytest.mark.parametrize("times", [2, 9])
def test_counts_past_32_bits_stand_in_several_entries(times):
    with RunStore(None) as store:
        for _ in range(times):
            store.add(small_run({(1, 5): 3_000_000_000, (1, 6): 1}))
        merged = store.merged(1 << 20)
    found = entries(merged)
    assert sum(count for gram, count in found if gram == (1, 5)) == times * 3_000_000_000
    assert [entry for entry in found if entry[0] == (1, 6)] == [((1, 6), times)]
    assert len(found) == 1 + -(-times * 3_000_000_000 // 0xFFFFFFFF)


def test_a_store_of_empty_runs_gives_an_empty_run():
    with RunStore(None) as store:
        store.add(small_run({}))
        store.add(small_run({}))
        merged = store.merged(1 << 20)
    assert (merged.num_keys, len(merged.starts), len(merged.sizes)) == (0, 7, 6)


def test_a_store_of_nothing_is_refused():
    with RunStore(None) as store, pytest.raises(ValueError, match="no run"):
        store.merged(1 << 20)


def test_packing_moves_buckets_together():
    grams = {(1, 1): 2, (1, 4): 3, (4, 0): 1}
    run = small_run(grams)
    run.pack()
    assert run.starts.tolist() == ends_of(run.sizes).tolist()
    assert entries(run) == sorted(grams.items())
    assert len(run.keys) == len(run.counts) == 3


@pytest.mark.parametrize(
    ("size", "depth", "layout"),
    [
        (1, 2, (1, False)),
        (32767, 5, (15, False)),
        (65535, 5, (16, False)),
        (65536, 5, (17, True)),
        (65535, 9, (16, True)),
        (0, 5, (1, False)),
    ],
)
def test_keys_are_as_wide_as_they_need_be(size, depth, layout):
    assert key_layout(size, depth) == layout


def test_grams_beyond_128_bits_are_refused_with_the_order_that_fits():
    with pytest.raises(InputError, match="65,536 different symbols") as error:
        key_layout(65536, 9)
    assert "--max-order 7 " in error.value.hint
    assert key_layout(65536, 7 + 1) == (17, True)


@pytest.mark.parametrize("depth", [1, 10])
def test_depths_that_no_key_has_are_refused(depth):
    with pytest.raises(ValueError, match="depth"):
        key_layout(10, depth)


def spill(folder, monkeypatch, text="中文的中文" * 50):
    monkeypatch.setattr(census_module, "SHARE_BYTES", 60)
    monkeypatch.setattr(counts, "_blocks", lambda census, room, symbol_bytes: [[s] for s in census.shares])
    census = take_census([text.encode()], CLASSES, memory_bytes=0)
    with RunStore(folder) as store:
        run = counts.count(census, census.alphabet(1), 4, store=lambda: store, memory_bytes=0)
        return run, [path.is_dir() for path in folder.rglob("*")]


def test_files_have_no_name_once_they_are_mapped(tmp_path, monkeypatch):
    run, during = spill(tmp_path, monkeypatch)
    assert during == [True]  # the folder itself
    assert not list(tmp_path.iterdir())
    assert run.maps
    assert sum(run.counts) == 250


def test_nothing_is_left_behind_by_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "pack", lambda run: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        spill(tmp_path, monkeypatch)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="No such file") as caught:
        RunStore(tmp_path / "absent")
    assert "--tmp" in caught.value.hint


FULL = """
import resource, sys
from nlpkit.errors import OutputError
from nlpkit.ngram import census as census_module
from nlpkit.ngram import counts
from nlpkit.ngram.alphabet import word_classes
from nlpkit.ngram.census import take_census
from nlpkit.ngram.runs import RunStore
from pathlib import Path


census_module.SHARE_BYTES = 1 << 14
counts._blocks = lambda census, room, symbol_bytes: [[share] for share in census.shares]
text = "".join(chr(0x4E00 + n * n % 20011) for n in range(20000)).encode()
census = take_census([text], word_classes(), memory_bytes=0)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
with RunStore(Path(sys.argv[1])) as store:
    try:
        counts.count(census, census.alphabet(1), 4, store=lambda: store, memory_bytes=0)
    except OutputError as error:
        print(error)
"""


@pytest.mark.parametrize("limit", [10_000, 100_000])  # the first run, and the merging
def test_a_full_disk_is_an_output_error(tmp_path, limit):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), str(limit)], capture_output=True, text=True, check=True
    )
    assert os.strerror(27) in done.stdout  # EFBIG, as with ulimit -f; a full disk takes the same way
    assert str(tmp_path) in done.stdout
    assert not list(tmp_path.iterdir())
