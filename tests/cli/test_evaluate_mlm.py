"""`nlpkit evaluate mlm` with models other than the one that ships."""

import json

import numpy as np
import pytest

from nlpkit.bert.config import ModelConfig
from nlpkit.bert.names import expected_weights
from nlpkit.models import Manifest, save_model

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"天地玄黄宇宙洪荒"]
TEXT = "天地玄黄宇宙洪荒" * 9


@pytest.fixture
def small(tmp_path):
    """A model of 20 positions that holds 玄 most likely everywhere; without its head where asked."""

    def make(head=True):
        config = ModelConfig("bert", len(TOKENS), 8, 1, 2, 16, 8, max_position_embeddings=20)
        shapes = expected_weights(config, mlm=head)
        weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        if head:
            weights["cls/predictions/output_bias"][TOKENS.index("玄")] = 5
        folder = tmp_path / f"small-{head}"
        task = "mlm" if head else "encoder"
        manifest = Manifest(folder.name, task, "bert", config.to_json(), {"lower_case": True})
        save_model(folder, manifest, TOKENS, weights, "# small")
        return folder

    return make


def test_a_window_is_no_longer_than_the_model_takes(nlpkit, small):
    done = nlpkit("evaluate", "mlm", "--model", small(), stdin=TEXT)
    assert done.returncode == 0, done.stderr
    score = json.loads(done.stdout)
    assert score["tokens"] == len(TEXT)
    assert score["top1"] == 1 / 8  # every eighth character is 玄


def test_a_model_of_another_task_is_told_apart(nlpkit, small):
    done = nlpkit("evaluate", "mlm", "--model", small(head=False), stdin=TEXT)
    assert done.returncode == 4
    assert "no masked-LM head" in done.stderr
