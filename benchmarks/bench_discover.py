"""`nlpkit discover` as a whole process on 100 MB: time, memory, and that memory changes no byte.

    python benchmarks/bench_discover.py [--repeats 5]

Beside it, in turn, the numpy job of bench_ngram.py. The last rows read all of ../shared/data/raw from a pipe.
"""

import argparse
import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_ngram import numpy_job
from common import SHARED, benchmark_text, report, summary

COMMAND = [sys.executable, "-m", "nlpkit", "discover"]


def run(arguments: list[str], stdin: int | None = None) -> tuple[float, float]:
    """Wall seconds and resident MiB of one run."""
    start = time.perf_counter()
    process = subprocess.Popen([*COMMAND, *arguments], stdin=stdin)
    _, status, usage = _wait(process)
    assert status == 0
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, int, resource.struct_rusage]:
    import os

    return os.wait4(process.pid, 0)


def main() -> None:
    """Run the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    text = benchmark_text()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        corpus, out = Path(folder, "corpus.txt"), Path(folder, "out.jsonl")
        corpus.write_bytes(text)
        cases = {
            "default": [],
            "--threads 1": ["--threads", "1"],
            "--memory 200M": ["--memory", "200M"],
            "--method cohesion": ["--method", "cohesion"],
        }
        times: dict[str, list[float]] = {name: [] for name in ["numpy: bytes to counts", *cases]}
        memory: dict[str, float] = {}
        digests: dict[str, str] = {}
        for _ in range(repeats):
            start = time.perf_counter()
            numpy_job(text)
            times["numpy: bytes to counts"].append(time.perf_counter() - start)
            for name, arguments in cases.items():
                seconds, resident = run([str(corpus), "-o", str(out), "--force", *arguments])
                times[name].append(seconds)
                memory[name] = max(memory.get(name, 0), resident)
                digests[name] = hashlib.sha256(out.read_bytes()).hexdigest()[:12]
        for name, seconds in times.items():
            rows.append(
                {
                    "what": name,
                    **summary(seconds),
                    "MiB": round(memory.get(name, 0)),
                    "sha256": digests.get(name),
                }
            )
        files = sorted((SHARED / "data/raw").glob("*.xz"))
        pipe = subprocess.Popen(["xz", "-dc", *map(str, files)], stdout=subprocess.PIPE)
        assert pipe.stdout is not None
        seconds, resident = run(
            ["-", "--memory", "1G", "-o", str(out), "--force"], stdin=pipe.stdout.fileno()
        )
        rows.append(
            {"what": "all raw texts from a pipe, --memory 1G", **summary([seconds]), "MiB": round(resident)}
        )
    report("discover", rows)


if __name__ == "__main__":
    main()
