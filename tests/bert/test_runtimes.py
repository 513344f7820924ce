"""TensorFlow through bert4keras is what ONNX Runtime is held against."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from nlpkit.bert.checkpoint import Checkpoint
from nlpkit.bert.encoder import open_encoder, open_masked_lm

if not all(map(importlib.util.find_spec, ("tensorflow", "tf_keras", "bert4keras"))):
    pytest.skip("TensorFlow or bert4keras is not installed", allow_module_level=True)

LENGTH = 150  # nezha's vectors reach 64 tokens
CASES = [
    ("bert", {"embedding_size": 6}),
    ("bert", {"hidden_act": "relu", "attention_key_size": 6}),
    ("albert", {"embedding_size": 6, "hidden_act": "gelu_tanh", "num_hidden_layers": 3}),
    ("nezha", {}),
    ("roformer", {"embedding_size": 6}),
    ("roformer", {"attention_key_size": 6}),
    ("gpt", {"hidden_act": "gelu_tanh"}),
    ("gpt2", {"hidden_act": "gelu_tanh"}),
]


@pytest.fixture
def checkpoint(random_model):
    def make(architecture, **sizes):
        config, weights = random_model(architecture, **{"max_position_embeddings": LENGTH, **sizes})
        weights = {name: array * np.float32(0.5) for name, array in weights.items()}
        return Checkpoint(config, ["[PAD]"] * 30, weights, False, Path("nowhere"))

    return make


def batch():
    """Rows with padding at the end, in the midst, at the start, and with nothing else."""
    random = np.random.default_rng(3)
    tokens = random.integers(1, 30, (5, LENGTH))
    tokens[1, 90:] = tokens[2, 3] = tokens[3, 0] = tokens[4] = 0
    return tokens, random.integers(0, 2, tokens.shape)


@pytest.fixture
def tensorflow():
    """Leave the dtype of Keras as it was."""
    from nlpkit.bert import backend

    yield backend
    backend.start()


@pytest.mark.parametrize(("architecture", "sizes"), CASES)
def test_both_runtimes_give_the_same_hidden_states(checkpoint, tensorflow, architecture, sizes):
    model = checkpoint(architecture, **sizes)
    tokens, segments = batch()
    for layer in (0, 1, -1):
        onnx = open_encoder(model, runtime="onnx", layer=layer)(tokens, segments)
        tf = open_encoder(model, runtime="tensorflow", device="cpu", layer=layer)(tokens, segments)
        assert tf.dtype == np.float32
        np.testing.assert_allclose(onnx, tf, atol=2e-5)


@pytest.mark.parametrize(("architecture", "sizes"), CASES)
def test_both_runtimes_give_the_same_scores(checkpoint, tensorflow, architecture, sizes):
    model = checkpoint(architecture, **sizes)
    tokens, _ = batch()
    positions = np.random.default_rng(4).integers(0, LENGTH, (5, 3))
    onnx = open_masked_lm(model, runtime="onnx")(tokens, positions)
    tf = open_masked_lm(model, runtime="tensorflow")(tokens, positions)
    np.testing.assert_allclose(onnx, tf, atol=3e-5)


@pytest.mark.parametrize("architecture", ["bert", "albert", "nezha", "roformer", "gpt2"])
def test_vectors_near_zero_are_normalised_alike(checkpoint, tensorflow, architecture):
    """So near that the constant which keeps the division from zero can be seen, and is the same."""
    model = checkpoint(architecture)
    tiny = {
        name: array * np.float32(1e-3)
        for name, array in model.weights.items()
        if name.endswith(("gamma", "beta", "bias", "embeddings"))
    }
    model.weights.update(tiny)
    tokens, segments = batch()
    for layer in (0, -1):
        onnx = open_encoder(model, runtime="onnx", layer=layer)(tokens, segments)
        tf = open_encoder(model, runtime="tensorflow", layer=layer)(tokens, segments)
        np.testing.assert_allclose(onnx, tf, atol=1e-4 * np.abs(tf).max())


def test_dropout_of_the_config_is_for_training_only(checkpoint, tensorflow):
    tokens, segments = batch()
    rates = {"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5}
    plain = open_encoder(checkpoint("bert"), runtime="tensorflow")(tokens, segments)
    dropping = open_encoder(checkpoint("bert", **rates), runtime="tensorflow")(tokens, segments)
    np.testing.assert_allclose(dropping, plain, atol=1e-5)


def test_bfloat16_is_near_and_comes_out_as_float32(checkpoint, tensorflow):
    tokens, segments = batch()
    exact = open_encoder(checkpoint("bert"), runtime="onnx")(tokens, segments)
    near = open_encoder(checkpoint("bert"), runtime="tensorflow", dtype="bfloat16")(tokens, segments)
    assert near.dtype == np.float32
    error = np.abs(near - exact).mean() / np.abs(exact).mean()
    assert 1e-4 < error < 0.05


def test_one_trace_serves_all_shapes(checkpoint, tensorflow):
    from nlpkit.bert import tf_runtime

    model = tf_runtime.open_model(checkpoint("bert"), logits=True)
    for rows, length in ((1, 3), (2, 7), (4, 5)):
        ones = np.ones((rows, length), int)
        model.run("logits", token_ids=ones, segment_ids=ones, positions=ones[:, :1])
    assert model._function.experimental_get_tracing_count() == 1


@pytest.mark.slow  # TensorFlow waits ten seconds for memory
def test_a_full_device_is_a_memory_error(tensorflow):
    from nlpkit.bert.tf_runtime import TensorFlowModel

    def too_much(token_ids):
        side = token_ids[0, 0] * (1 << 20)
        return tensorflow.tensorflow().ones((side, side, 1 << 10))

    with pytest.raises(MemoryError):
        TensorFlowModel(too_much, ("token_ids",)).run("hidden", token_ids=np.ones((1, 1), int))


@pytest.mark.parametrize("architecture", ["bert", "roformer"])
def test_xla_and_its_buckets_change_nothing(checkpoint, tensorflow, architecture):
    model = checkpoint(architecture, max_position_embeddings=40)
    plain, compiled = (open_encoder(model, runtime="tensorflow", xla=xla) for xla in (False, True))
    score = open_masked_lm(model, runtime="tensorflow", xla=True)
    for length in (20, 40):  # 32 of a bucket, and the most that bert takes
        tokens, segments = (array[:, :length] for array in batch())
        expected = plain(tokens, segments)
        assert compiled(tokens, segments).shape == expected.shape
        np.testing.assert_allclose(compiled(tokens, segments)[:3], expected[:3], atol=2e-5)
        places = np.full((5, 1), 2)
        own = open_masked_lm(model, runtime="tensorflow")(tokens, places)
        np.testing.assert_allclose(score(tokens, places)[:3], own[:3], atol=1e-4)
