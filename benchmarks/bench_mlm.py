"""How well masked language models guess, and how soon the shipped one answers.

    python benchmarks/bench_mlm.py [--limit POSITIONS]

Quality: the last 2,000 lines of the news, the same seeded characters for every model, one masked at a time.
Start: the whole process of one line through the shipped model, cold for Python, warm for the disk.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from common import SHARED, nlpkit, report, seconds_in_turn, shared_text, summary

TEACHERS = [SHARED / "models/albert-small-zh", SHARED / "models/albert-tiny-zh"]
SHIPPED = "mlm-zh-tiny"
LINE = "今天的天气真好，我们去公园散步。\n"


def one_line(model: object) -> None:
    """Ask a model for the characters of one line, in a process of its own."""
    command = [sys.executable, "-m", "nlpkit", "evaluate", "mlm", "--model", str(model)]
    subprocess.run(command, check=True, capture_output=True, input=LINE, text=True)


def main() -> None:
    """Run both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        news = Path(folder, "news-tail.txt")
        lines = shared_text(["news"]).splitlines(keepends=True)
        news.write_bytes(b"".join(lines[-2000:]))
        models = [option for model in [*TEACHERS, SHIPPED] for option in ("--model", model)]
        rows = nlpkit("evaluate", "mlm", news, "--limit", arguments.limit, *models)
    for row in rows:
        row["model"] = Path(str(row["model"])).name
        row["share of the first"] = round(float(str(row["top1"])) / float(str(rows[0]["top1"])), 3)
    report("mlm", rows)
    times = seconds_in_turn({SHIPPED: lambda: one_line(SHIPPED)}, arguments.repeats)
    report("start", [{"model": name, **summary(seconds)} for name, seconds in times.items()])


if __name__ == "__main__":
    main()
