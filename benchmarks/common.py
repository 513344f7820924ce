"""What the benchmarks share: the texts, repeated runs, and the table with its line in results.jsonl."""

import json
import lzma
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from nlpkit import __version__

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
RESULTS = Path(__file__).with_name("results.jsonl")
MB = 1e6


def shared_text(names: Iterable[str], num_bytes: int | None = None) -> bytes:
    """Texts of ../shared/data/raw, joined, cut to whole lines within `num_bytes`."""
    parts = []
    size = 0
    for name in names:
        with lzma.open(SHARED / "data/raw" / f"{name}.txt.xz") as file:
            parts.append(file.read(-1 if num_bytes is None else num_bytes - size))
        size += len(parts[-1])
    text = b"".join(parts)
    return text if num_bytes is None else text[: text.rfind(b"\n") + 1]


def benchmark_text() -> bytes:
    """The 100 MB on which counting is measured: articles and laws."""
    return shared_text(["linux-articles", "web-articles", "laws"], 100_000_000)


def seconds_in_turn(jobs: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Wall seconds of every job, run in turn, so that a machine that changes its speed changes it for all."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            times[name].append(time.perf_counter() - start)
    return times


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Least, median and largest, in milliseconds' precision."""
    return {
        "min": round(min(seconds), 3),
        "median": round(statistics.median(seconds), 3),
        "max": round(max(seconds), 3),
    }


def nlpkit(*arguments: object) -> list[dict[str, object]]:
    """Run a command and read its JSON Lines."""
    done = subprocess.run(
        [sys.executable, "-m", "nlpkit", *map(str, arguments)], check=True, capture_output=True, text=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def report(benchmark: str, rows: Sequence[dict[str, object]]) -> None:
    """Print rows as a table and append them to results.jsonl."""
    names = list(rows[0])
    cells = [names, *[[str(row.get(name, "")) for name in names] for row in rows]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    machine = {
        "processor": _processor(),
        "cores": len(os_cores()),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "nlpkit": __version__,
    }
    with RESULTS.open("a", encoding="utf-8") as file:
        for row in rows:
            line = {"benchmark": benchmark, "date": time.strftime("%Y-%m-%d"), **row, "machine": machine}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def os_cores() -> set[int]:
    """Cores that this process may use."""
    return os.sched_getaffinity(0)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()
