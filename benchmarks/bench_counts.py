"""Counts, entropies and cohesion of 10 MB of news against collections.Counter: all of them must be equal.

    python benchmarks/bench_counts.py [--megabytes 10]

Single characters and letters as symbols (as in the seed algorithm), orders 1 to 4, every gram.
"""

import argparse
import math
import re
from collections import Counter, defaultdict

import numpy as np
from common import report, shared_text

from nlpkit.ngram.alphabet import seed_classes
from nlpkit.ngram.census import take_census
from nlpkit.ngram.counts import count
from nlpkit.ngram.grams import gram_statistics
from nlpkit.ngram.runs import RunStore

ORDER = 4


def counter_entropies(counts: Counter[str]) -> tuple[dict[str, float], dict[str, float]]:
    """Left and right entropies of every gram of up to ORDER characters; a break is one neighbour."""
    sides: list[dict[str, float]] = []
    for inner in (slice(1, None), slice(None, -1)):
        seen: defaultdict[str, int] = defaultdict(int)
        sums: defaultdict[str, float] = defaultdict(float)
        for gram, number in counts.items():
            if len(gram) > 1:
                seen[gram[inner]] += number
                sums[gram[inner]] += number * math.log(number)
        entropies = {}
        for gram, number in counts.items():
            if len(gram) <= ORDER:
                rest = number - seen[gram]
                total = sums[gram] + (rest * math.log(rest) if rest else 0.0)
                entropies[gram] = math.log(number) - total / number
        sides.append(entropies)
    return sides[0], sides[1]


def main() -> None:
    """Compare and print the largest differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=10)
    text = shared_text(["news"], int(parser.parse_args().megabytes * 1e6))
    counts: Counter[str] = Counter()
    for run in re.findall("[\u4e00-\u9fa5A-Za-z0-9]+", text.decode()):
        for order in range(1, ORDER + 2):
            counts.update(run[i : i + order] for i in range(len(run) - order + 1))
    left, right = counter_entropies(counts)
    census = take_census([text], seed_classes(), threads=2)
    alphabet = census.alphabet(1)
    kernel_run = count(census, alphabet, ORDER, store=lambda: RunStore(None), threads=2)
    table = gram_statistics(kernel_run, alphabet, ORDER, 1, threads=2)
    rows = []
    for order in range(1, ORDER + 1):
        part = table.rows(order)
        names = np.array(alphabet.names)
        grams = ["".join(row) for row in names[table.symbols[order - 1]].tolist()]
        wrong = sum(
            counts[gram] != number for gram, number in zip(grams, table.counts[part].tolist(), strict=True)
        )
        missing = sum(len(gram) == order for gram in counts) - len(grams)
        difference = [
            max(abs(ours - theirs[gram]) for gram, ours in zip(grams, column[part].tolist(), strict=True))
            for column, theirs in ((table.left_entropy, left), (table.right_entropy, right))
        ]
        rows.append(
            {
                "order": order,
                "distinct": len(grams),
                "wrong counts": wrong,
                "missing": missing,
                "left entropy, largest difference": f"{difference[0]:.1e}",
                "right": f"{difference[1]:.1e}",
            }
        )
    report("counts", rows)


if __name__ == "__main__":
    main()
