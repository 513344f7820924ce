"""Counting alone: the kernel on 100 MB against a numpy sort of packed keys, in one process.

    python benchmarks/bench_ngram.py [--repeats 7]

The numpy job starts where the kernel starts, at the bytes of the text: code points to ids of 15 bits, four
of them in a 64-bit key, sort, count equal keys. How long the sort alone takes is a row of its own: it
depends on whether numpy has vector instructions for it, which
NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL X86_V3" turns off.
"""

import argparse
import os

import numpy as np
from common import MB, benchmark_text, report, seconds_in_turn, summary

from nlpkit.ngram.alphabet import seed_classes, word_classes
from nlpkit.ngram.counts import count, take_census
from nlpkit.ngram.grams import gram_statistics
from nlpkit.ngram.runs import RunStore

ORDER = 4


def kernel(text: bytes, threads: int, *, entropies: bool, units: bool) -> int:
    """Count orders 1-4; with entropies: list the grams that occur 32 times with both branching entropies."""
    census = take_census([text], word_classes() if units else seed_classes(), threads=threads)
    alphabet = census.alphabet(32)
    run = count(census, alphabet, ORDER, neighbours=entropies, store=lambda: RunStore(None), threads=threads)
    if entropies:
        gram_statistics(run, alphabet, ORDER, 32, threads=threads)
    return run.num_keys


def packed_keys(text: bytes) -> np.ndarray:
    """Keys of four ids of 15 bits, as numpy makes them fastest that we know."""
    points = np.frombuffer(text.decode().encode("utf-32-le"), np.uint32)
    table = np.zeros(0x110000, np.uint64)
    table[seed_classes() > 0] = np.arange(1, int((seed_classes() > 0).sum()) + 1)
    ids = table[points]
    keys = ids << np.uint64(45)
    open_ = ids != 0
    for place in range(1, ORDER):
        open_[: len(ids) - place] &= ids[place:] != 0
        open_[len(ids) - place :] = False
        following = np.zeros_like(ids)
        following[: len(ids) - place] = ids[place:]
        following[~open_] = 0
        keys |= following << np.uint64(45 - 15 * place)
    return keys[ids != 0]


def count_sorted(keys: np.ndarray) -> int:
    """Distinct keys of a sorted array, with their counts."""
    ends = np.flatnonzero(np.append(keys[1:] != keys[:-1], True))
    np.diff(ends, prepend=-1)
    return len(ends)


def numpy_job(text: bytes) -> int:
    """Bytes to counts with numpy alone."""
    keys = packed_keys(text)
    keys.sort()
    return count_sorted(keys)


def main() -> None:
    """Run all jobs in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    text = benchmark_text()
    keys = packed_keys(text)
    assert kernel(text, 2, entropies=False, units=False) == numpy_job(text)
    jobs = {
        "numpy: bytes to counts": lambda: numpy_job(text),
        "numpy: sort alone": lambda: keys.copy().sort(),
        "kernel, 1 thread": lambda: kernel(text, 1, entropies=False, units=False),
        "kernel, 2 threads": lambda: kernel(text, 2, entropies=False, units=False),
        "kernel with entropies, 1 thread": lambda: kernel(text, 1, entropies=True, units=False),
        "kernel with entropies, 2 threads": lambda: kernel(text, 2, entropies=True, units=False),
        "kernel with entropies and units, 2 threads": lambda: kernel(text, 2, entropies=True, units=True),
    }
    times = seconds_in_turn(jobs, repeats)
    whole = summary(times["numpy: bytes to counts"])["median"]
    rows = []
    for name, seconds in times.items():
        figures = summary(seconds)
        ratio = round(whole / figures["median"], 2)
        rate = round(len(text) / MB / figures["median"])
        rows.append({"what": name, **figures, "MB/s": rate, "times numpy": ratio})
    print("numpy features off:", os.environ.get("NPY_DISABLE_CPU_FEATURES", "none"))
    report("ngram", rows)


if __name__ == "__main__":
    main()
