"""Each loss against figures worked by hand and against a plain numpy twin."""

import importlib.util
import math

import numpy as np
import pytest

from nlpkit.bert import backend, losses

if importlib.util.find_spec("bert4keras") is None:
    pytest.skip("needs nlpkit[bert]", allow_module_level=True)

RANDOM = np.random.default_rng(0)


def gradient(loss, logits):
    tf = backend.tensorflow()
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = tf.reduce_sum(loss(logits))
    return tape.gradient(value, logits).numpy()


def zlpr_reference(logits, targets):
    logits = logits.astype(np.float64)
    against = np.exp(np.where(targets == 1, -np.inf, logits)).sum(axis=-1)
    held = np.exp(np.where(targets == 1, -logits, -np.inf)).sum(axis=-1)
    return np.log1p(against) + np.log1p(held)


def test_zlpr_of_each_row_is_the_formula_of_the_source():
    logits, targets = (
        RANDOM.normal(size=(4, 5, 7), scale=3).astype(np.float32),
        RANDOM.integers(2, size=(4, 5, 7)),
    )
    targets[0], targets[1] = 0, 1
    np.testing.assert_allclose(losses.zlpr(logits, targets), zlpr_reference(logits, targets), rtol=1e-5)


def test_zlpr_by_hand():
    # One label that holds at score 0 and two that do not: log(1 + 1) + log(1 + 2).
    loss = losses.zlpr(np.zeros((1, 3)), np.array([[1, 0, 0]]))
    assert float(loss[0]) == pytest.approx(math.log(2) + math.log(3))


def test_zlpr_takes_large_scores_and_labels_taken_out():
    logits = np.array([[800.0, -800.0, -np.inf], [-800.0, 800.0, -np.inf]], np.float32)
    targets = np.array([[1, 0, 0], [1, 0, 0]])
    np.testing.assert_allclose(losses.zlpr(logits, targets), [0, 1600], atol=1e-6)
    slope = gradient(lambda x: losses.zlpr(x, targets), logits)
    np.testing.assert_allclose(slope, [[0, 0, 0], [-1, 1, 0]], atol=1e-6)


def test_zlpr_of_half_precision_scores_is_float32():
    assert losses.zlpr(np.zeros((1, 3), np.float16), np.zeros((1, 3))).dtype == np.float32
