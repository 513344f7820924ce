"""Does TensorFlow work here? `python -m nlpkit.bert.probe` runs a small model and writes the answer as JSON.

That is a process of its own, because a TensorFlow that does not fit the machine ends the process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import numpy as np

from nlpkit.bert import backend
from nlpkit.bert.config import ModelConfig
from nlpkit.errors import MissingDependencyError

_SECONDS = 300
_FAILURE = "a small model does not run in TensorFlow"


def probe() -> dict[str, Any]:
    """Build a small model with bert4keras and run it.

    Returns:
        `keras`: the package that bert4keras runs on; `gpus`: the names of those TensorFlow sees.

    Raises:
        MissingDependencyError: TensorFlow or bert4keras is absent.
        ValueError: what comes out is no number, or bert4keras is not mended for this TensorFlow.
    """
    backend.start()
    tf, keras = backend.tensorflow(), backend.keras()
    config = ModelConfig(
        "bert",
        vocab_size=8,
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        embedding_size=4,
    )
    token_ids = np.array([[1, 2, 3]])
    if not np.isfinite(backend.build(config).model([token_ids, np.zeros_like(token_ids)])).all():
        raise ValueError("its numbers are not finite")
    if not issubclass(backend.bert4keras("optimizers").AdaFactor, keras.optimizers.legacy.Optimizer):
        raise ValueError("the optimizers of bert4keras do not fit this Keras")
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    return {"keras": keras.__name__.partition(".")[0], "gpus": names}


def probe_apart() -> dict[str, Any]:
    """Return what `probe` does, called in another process.

    Raises:
        MissingDependencyError: it fails there, or takes more than five minutes.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "nlpkit.bert.probe"],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise MissingDependencyError(f"{_FAILURE}: no answer in {_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        cause = error.stderr.strip().rpartition("\n")[2]
        if error.returncode < 0:
            cause = f"ended by {signal.Signals(-error.returncode).name}"
        raise MissingDependencyError(f"{_FAILURE}: {cause}", hint=backend.INSTALL_HINT) from None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe()) + "\n")
