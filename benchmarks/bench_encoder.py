"""Throughput of the two runtimes on 32 rows of 64 tokens, against plain bert4keras.

    python benchmarks/bench_encoder.py [--repeats 15] [--threads 2]

Jobs run in turn in one process. `error` is the root mean square of the difference from bert4keras, as a
share of that of its hidden states.
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from common import SHARED, report, seconds_in_turn, summary

from nlpkit.bert import backend
from nlpkit.bert.checkpoint import Checkpoint, open_checkpoint
from nlpkit.bert.config import ModelConfig
from nlpkit.bert.encoder import open_encoder
from nlpkit.bert.names import expected_weights

ROWS, LENGTH = 32, 64
ALBERT = SHARED / "models/albert-small-zh"


def random_checkpoint() -> Checkpoint:
    """A BERT of 4 layers of 312, as small Chinese models are, with random weights."""
    config = ModelConfig("bert", 8000, 312, 4, 12, 1248, 128)
    weights = {
        name: backend.fresh_weight(name, shape, config, 0) for name, shape in expected_weights(config).items()
    }
    return Checkpoint(config, ["[PAD]"] * config.vocab_size, weights, False, Path("random"))


def checkpoints() -> Iterator[tuple[str, Checkpoint]]:
    """The models; a real one too where it is there."""
    yield "random 4 x 312", random_checkpoint()
    if ALBERT.is_dir():
        # Without a manifest: no graph of the folder's own is measured by mistake.
        yield "albert-small-zh, 6 x 384", dataclasses.replace(open_checkpoint(ALBERT), manifest=None)


def jobs_for(checkpoint: Checkpoint, threads: int) -> dict[str, Callable[[], np.ndarray]]:
    """Every way to encode the same batch, with padding in every second row."""
    tokens = np.random.default_rng(0).integers(5, checkpoint.config.vocab_size, (ROWS, LENGTH))
    tokens[::2, LENGTH * 3 // 4 :] = 0
    segments = np.zeros_like(tokens)
    backend.start("cpu", threads=threads)
    plain = backend.build(checkpoint.config, checkpoint.weights).model
    options = {"device": "cpu", "threads": threads}
    encoders = {
        "TensorFlow": open_encoder(checkpoint, runtime="tensorflow", **options),
        "TensorFlow, bfloat16": open_encoder(checkpoint, runtime="tensorflow", dtype="bfloat16", **options),
        "ONNX Runtime": open_encoder(checkpoint, **options),
        "ONNX Runtime, int8": open_encoder(checkpoint, dtype="int8", **options),
    }
    jobs = {"bert4keras predict_on_batch": lambda: plain.predict_on_batch([tokens, segments])}
    for name, encode in encoders.items():
        jobs[name] = lambda encode=encode: encode(tokens, segments)
    return jobs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    rows = []
    for model, checkpoint in checkpoints():
        jobs = jobs_for(checkpoint, options.threads)
        hidden = {name: job() for name, job in jobs.items()}  # the first run is slower
        exact = next(iter(hidden.values()))
        times = seconds_in_turn(jobs, options.repeats)
        base = summary(next(iter(times.values())))["median"]
        for name, seconds in times.items():
            figures = summary(seconds)
            error = np.sqrt(np.mean((hidden[name] - exact) ** 2) / np.mean(exact**2))
            rows.append(
                {
                    "model": model,
                    "runtime": name,
                    **figures,
                    "rows/s": round(ROWS / figures["median"]),
                    "x bert4keras": round(base / figures["median"], 2),
                    "error": f"{error:.1e}",
                }
            )
    report(f"encoder, {options.threads} threads", rows)


if __name__ == "__main__":
    main()
