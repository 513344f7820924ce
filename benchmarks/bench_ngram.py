"""Counting alone: the kernel on 100 MB against a numpy sort of packed keys, in one process.

    python benchmarks/bench_ngram.py [--repeats 7]

The numpy job starts where the kernel starts, at the bytes of the text: code points to ids of 15 bits, four
of them in a 64-bit key, sort, count equal keys. The sort alone has rows of its own, with and without the
vector instructions (AVX2, AVX-512) that newer numpy uses where the processor has them.
"""

import argparse
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from common import MB, benchmark_text, report, seconds_in_turn, summary

from nlpkit.ngram.alphabet import seed_classes, word_classes
from nlpkit.ngram.census import take_census
from nlpkit.ngram.counts import count
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


PLAIN_SORT = """
import time
from bench_ngram import packed_keys
from common import benchmark_text
keys = packed_keys(benchmark_text())
start = time.perf_counter()
keys.sort()
print(time.perf_counter() - start)
"""


def plain_sort_seconds() -> float:
    """Seconds of the sort alone in a numpy without vector instructions, which is a process of its own."""
    return float(
        subprocess.run(
            [sys.executable, "-c", PLAIN_SORT],
            cwd=Path(__file__).parent,
            env={**os.environ, "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL X86_V3"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )


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
        "numpy: sort alone, vectorised": lambda: keys.copy().sort(),
        "kernel, 1 thread": lambda: kernel(text, 1, entropies=False, units=False),
        "kernel, 2 threads": lambda: kernel(text, 2, entropies=False, units=False),
        "kernel with entropies, 1 thread": lambda: kernel(text, 1, entropies=True, units=False),
        "kernel with entropies, 2 threads": lambda: kernel(text, 2, entropies=True, units=False),
        "kernel with entropies and units, 2 threads": lambda: kernel(text, 2, entropies=True, units=True),
    }
    times = {"numpy: sort alone, plain": [plain_sort_seconds() for _ in range(3)]}
    times |= seconds_in_turn(jobs, repeats)
    whole, plain = (
        summary(times[name])["median"] for name in ("numpy: bytes to counts", "numpy: sort alone, plain")
    )
    rows = []
    for name, seconds in times.items():
        figures = summary(seconds)
        median = figures["median"]
        ratios = {"x whole job": round(whole / median, 2), "x plain sort": round(plain / median, 2)}
        rows.append({"what": name, **figures, "MB/s": round(len(text) / MB / median), **ratios})
    report("ngram", rows)
    compare_with_counter(text[:10_000_000], repeats=3)


def compare_with_counter(text: bytes, repeats: int) -> None:
    """The same counts of the first 10 MB by collections.Counter."""
    jobs = {
        "collections.Counter on 10 MB": lambda: counter_job(text),
        "kernel on 10 MB, 2 threads": lambda: kernel(text, 2, entropies=False, units=False),
    }
    times = seconds_in_turn(jobs, repeats)
    slow = summary(times["collections.Counter on 10 MB"])["median"]
    rows = []
    for name, seconds in times.items():
        figures = summary(seconds)
        rows.append({"what": name, **figures, "x Counter": round(slow / figures["median"], 1)})
    report("ngram against Counter", rows)


def counter_job(text: bytes) -> int:
    """Count orders 1-4 with a Counter, as a short script would."""
    counts: Counter[str] = Counter()
    for run in re.findall("[\u4e00-\u9fa5A-Za-z0-9]+", text.decode("utf-8", "ignore")):
        for order in range(1, ORDER + 1):
            counts.update([run[i : i + order] for i in range(len(run) - order + 1)])
    return len(counts)


if __name__ == "__main__":
    main()
