"""How good the words and the segmentation are, measured by the product's own commands.

    python benchmarks/bench_quality.py

Words: precision of `discover --all` on the 100 MB benchmark text against jieba's dictionary and THUOCL.
Segmentation: F1 on the PKU test of SIGHAN 2005 with lexicons discovered from news alone.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import SHARED, benchmark_text, report, shared_text

GOLD = SHARED / "data/segment/pku-gold.txt"
THUOCL = SHARED / "data/lexicon/thuocl.tsv"


def nlpkit(*arguments: object) -> list[dict[str, object]]:
    """Run a command and read its JSON Lines."""
    done = subprocess.run(
        [sys.executable, "-m", "nlpkit", *map(str, arguments)], check=True, capture_output=True, text=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> None:
    """Run both tables."""
    with tempfile.TemporaryDirectory() as folder:
        corpus, news, found = Path(folder, "c.txt"), Path(folder, "news.txt"), Path(folder, "found.jsonl")
        corpus.write_bytes(benchmark_text())
        news.write_bytes(shared_text(["news"]))
        nlpkit("discover", corpus, "--all", "-o", found)
        known = ["--known", "jieba", "--known", THUOCL]
        ranks = ["--at", 1000, "--at", 5000, "--at", 20000]
        report("words", nlpkit("evaluate", "words", found, *known, *ranks))
        lexicons = {
            "--refine, seed 0": ["--refine"],
            "--refine, seed 1": ["--refine", "--seed", 1],
            "--refine, seed 2": ["--refine", "--seed", 2],
            "default --all": ["--all"],
            "--method cohesion --all": ["--method", "cohesion", "--all"],
        }
        rows = []
        for name, options in lexicons.items():
            lexicon = Path(folder, "lexicon.txt")
            nlpkit("discover", news, *options, "--format", "jieba", "-o", lexicon, "--force")
            rows.append(
                {
                    "lexicon": f"discover {name}",
                    **nlpkit("evaluate", "segment", GOLD, "--lexicon", lexicon)[0],
                }
            )
        rows.append(
            {
                "lexicon": "transductive: discovered from the gold text itself",
                **nlpkit("evaluate", "segment", GOLD)[0],
            }
        )
        rows.append(
            {
                "lexicon": "jieba with its dictionary",
                **nlpkit("evaluate", "segment", GOLD, "--method", "jieba")[0],
            }
        )
        report("segmentation on PKU", rows)


if __name__ == "__main__":
    main()
