"""How good the words and the segmentation are, measured by the product's own commands.

    python benchmarks/bench_quality.py

Words: precision of `discover --all` on the 100 MB benchmark text against jieba's dictionary and THUOCL.
Segmentation: F1 on the PKU test of SIGHAN 2005, and on treebanks, with lexicons discovered from news alone.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from common import SHARED, benchmark_text, nlpkit, report, shared_text

GOLD = SHARED / "data/segment/pku-gold.txt"
THUOCL = SHARED / "data/lexicon/thuocl.tsv"


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
        nlpkit("discover", news, "--refine", "--format", "jieba", "-o", lexicon, "--force")
        report("segmentation on sets never looked at", list(other_sets(lexicon, Path(folder))))


def other_sets(lexicon: Path, folder: Path) -> Iterator[dict[str, object]]:
    """F1 on the words of three Universal Dependencies treebanks, with the lexicon and with jieba."""
    for name in ("zh_gsdsimp-ud-dev", "zh_hk-ud", "zh_cfl-ud"):
        gold = folder / f"{name}.txt"
        sentences = (SHARED / "data/parse" / f"{name}.conllu").read_text(encoding="utf-8").split("\n\n")
        gold.write_text("".join(f"{words_of(sentence)}\n" for sentence in sentences), encoding="utf-8")
        for options in (["--lexicon", lexicon], ["--method", "jieba"]):
            by = "discover --refine" if lexicon in options else "jieba with its dictionary"
            yield {"set": name, "lexicon": by, **nlpkit("evaluate", "segment", gold, *options)[0]}


def words_of(sentence: str) -> str:
    """The words of one sentence in CoNLL-U, parted by two blanks."""
    rows = [line.split("\t") for line in sentence.splitlines() if line[:1].isdigit()]
    return "  ".join(row[1].replace(" ", "") for row in rows if row[0].isdigit())


if __name__ == "__main__":
    main()
