"""`nlpkit discover` as a whole process on 100 MB: time, memory, and that memory changes no byte.

    python benchmarks/bench_discover.py [--repeats 5]

Beside it, in turn and in a process of its own, the numpy job of bench_ngram.py, timed without its start-up.
The last row reads all of ../shared/data/raw from a pipe, unpacking included.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import SHARED, report, summary

COMMAND = [sys.executable, "-m", "nlpkit", "discover"]
WRITE_TEXT = "import sys, common; open(sys.argv[1], 'wb').write(common.benchmark_text())"
NUMPY_JOB = """
import sys, time
from bench_ngram import numpy_job
text = open(sys.argv[1], 'rb').read()
start = time.perf_counter()
numpy_job(text)
print(time.perf_counter() - start)
"""
CASES = {
    "default": [],
    "--threads 1": ["--threads", "1"],
    "--memory 200M": ["--memory", "200M"],
    "--method cohesion": ["--method", "cohesion"],
}
NUMPY = "numpy: bytes to counts"


def run(arguments: list[str], stdin: int | None = None) -> tuple[float, float]:
    """Wall seconds and resident MiB of one run; this process must stay small, for its size would count."""
    start = time.perf_counter()
    process = subprocess.Popen([*COMMAND, *arguments], stdin=stdin)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def helper(code: str, path: Path) -> str:
    """Run code of the benchmarks in a process of its own."""
    here = Path(__file__).parent
    return subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=here, check=True, capture_output=True, text=True
    ).stdout


def main() -> None:
    """Run the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    times: dict[str, list[float]] = {name: [] for name in [NUMPY, *CASES]}
    memory: dict[str, float] = {}
    digests: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        corpus, out = Path(folder, "corpus.txt"), Path(folder, "out.jsonl")
        helper(WRITE_TEXT, corpus)
        for _ in range(repeats):
            times[NUMPY].append(float(helper(NUMPY_JOB, corpus)))
            for name, arguments in CASES.items():
                seconds, resident = run([str(corpus), "-o", str(out), "--force", *arguments])
                times[name].append(seconds)
                memory[name] = max(memory.get(name, 0), resident)
                digests[name] = hashlib.sha256(out.read_bytes()).hexdigest()[:12]
        files = sorted((SHARED / "data/raw").glob("*.xz"))
        pipe = subprocess.Popen(["xz", "-dc", *map(str, files)], stdout=subprocess.PIPE)
        assert pipe.stdout is not None
        seconds, resident = run(
            ["-", "--memory", "1G", "-o", str(out), "--force"], stdin=pipe.stdout.fileno()
        )
    rows: list[dict[str, object]] = [
        {
            "what": name,
            **summary(values),
            "MiB": round(memory.get(name, 0)) or "",
            "sha256": digests.get(name, ""),
        }
        for name, values in times.items()
    ]
    rows.append(
        {"what": "all raw texts from a pipe, --memory 1G", **summary([seconds]), "MiB": round(resident)}
    )
    report("discover", rows)


if __name__ == "__main__":
    main()
