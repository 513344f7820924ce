"""Counting alone: the kernel on 100 MB against a numpy sort of packed keys, each run in a fresh process.

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
import tempfile
import time
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


JOBS = {
    "numpy: bytes to counts": numpy_job,
    "numpy: bytes to counts, plain sort": numpy_job,
    "numpy: sort alone, vectorised": None,
    "numpy: sort alone, plain": None,
    "kernel, 1 thread": lambda text: kernel(text, 1, entropies=False, units=False),
    "kernel, 2 threads": lambda text: kernel(text, 2, entropies=False, units=False),
    "kernel with entropies, 1 thread": lambda text: kernel(text, 1, entropies=True, units=False),
    "kernel with entropies, 2 threads": lambda text: kernel(text, 2, entropies=True, units=False),
    "kernel with entropies and units, 2 threads": lambda text: kernel(text, 2, entropies=True, units=True),
}
PLAIN = {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL X86_V3"}


def run_job(name: str, path: Path) -> float:
    """Seconds of one job in this process."""
    text = path.read_bytes()
    job = JOBS[name]
    keys = packed_keys(text) if job is None else None
    start = time.perf_counter()
    if job is None:
        keys.sort()
    else:
        job(text)
    return time.perf_counter() - start


def fresh_seconds(name: str, path: Path) -> float:
    """Seconds of one job in a process of its own, as a command would run it; start-up is not counted."""
    command = [sys.executable, __file__, "--job", name, "--text", str(path)]
    environment = {**os.environ, **(PLAIN if "plain" in name else {})}
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Run all jobs in turn, each in a fresh process, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--text", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(run_job(options.job, options.text))
        return
    text = benchmark_text()
    assert kernel(text, 2, entropies=False, units=False) == numpy_job(text)
    times: dict[str, list[float]] = {name: [] for name in JOBS}
    with tempfile.NamedTemporaryFile() as file:
        file.write(text)
        file.flush()
        for _ in range(options.repeats):
            for name in JOBS:
                times[name].append(fresh_seconds(name, Path(file.name)))
    base = {name: summary(times[name])["median"] for name in JOBS}
    rows = []
    for name, seconds in times.items():
        figures = summary(seconds)
        median = figures["median"]
        ratios = {
            "x numpy": round(base["numpy: bytes to counts"] / median, 2),
            "x plain sort alone": round(base["numpy: sort alone, plain"] / median, 2),
        }
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
