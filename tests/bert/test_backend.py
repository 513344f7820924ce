"""The door to TensorFlow: models by canonical names, fresh weights, dropout that can be repeated."""

import importlib.util
import math
import subprocess
import sys

import numpy as np
import pytest

from nlpkit.bert import backend
from nlpkit.bert.config import ARCHITECTURES, ModelConfig
from nlpkit.bert.names import expected_weights
from nlpkit.errors import MissingDependencyError, ModelError

if importlib.util.find_spec("bert4keras") is None:
    pytest.skip("needs nlpkit[bert]", allow_module_level=True)


def config_of(architecture="bert", **options):
    embedding = 16 if architecture in ("gpt", "gpt2") else 8
    sizes = {
        "vocab_size": 31,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "embedding_size": embedding,
    }
    return ModelConfig(architecture, **(sizes | options))


def hidden_states(transformer, token_ids, **options):
    token_ids = np.asarray(token_ids, np.int32)
    inputs = [token_ids, np.zeros_like(token_ids)][: len(transformer.model.inputs)]
    return transformer.model(inputs if len(inputs) > 1 else inputs[0], **options).numpy()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_has_the_canonical_weights_and_does_not_see_padding(architecture):
    config = config_of(architecture)
    heads = {} if config.is_causal else {"mlm": True, "pooler": True}
    transformer = backend.build(config, **heads, seed=3)
    shapes = {name: value.shape for name, value in transformer.weights().items()}
    assert shapes == expected_weights(config, **heads)
    long = hidden_states(transformer, [[5, 6, 7, 8, 9], [5, 6, 7, 0, 0]])
    short = hidden_states(transformer, [[5, 6, 7]])
    np.testing.assert_allclose(long[1, :3], short[0], atol=1e-5)
    assert np.abs(long[0, 0] - long[1, 0]).max() > 1e-6 or config.is_causal
    again = backend.build(config, transformer.weights(), **heads)
    np.testing.assert_array_equal(hidden_states(again, [[5, 6, 7]]), short)


def test_attention_can_be_narrower_than_the_model():
    config = config_of(attention_key_size=4)
    shapes = {name: value.shape for name, value in backend.build(config).weights().items()}
    assert shapes == expected_weights(config)
    assert shapes["bert/encoder/layer_0/attention/self/query/kernel"] == (16, 8)


def test_fresh_weights_are_all_different_and_of_the_right_size():
    config = config_of(hidden_size=64, intermediate_size=256, initializer_range=0.02)
    weights = backend.build(config, mlm=True, seed=1).weights()
    matrices = {name: value for name, value in weights.items() if value.ndim == 2}
    assert len({value.tobytes() for value in matrices.values()}) == len(matrices)
    for name, value in weights.items():
        if value.ndim == 1:
            assert (value == (1 if name.endswith("gamma") else 0)).all(), name
        else:
            assert np.abs(value).max() <= 0.04
    wide = matrices["bert/encoder/layer_0/intermediate/dense/kernel"]
    # The standard deviation of a normal distribution cut at two of its own is .88 of it.
    assert wide.std() == pytest.approx(0.88 * 0.02, rel=0.03)
    assert abs(wide.mean()) < 0.001


def test_the_seed_decides_fresh_weights():
    first, again, other = (backend.build(config_of(), seed=seed).weights() for seed in (1, 1, 2))
    kernel = "bert/encoder/layer_1/output/dense/kernel"
    assert all((first[name] == again[name]).all() for name in first)
    assert (first[kernel] != other[kernel]).all()


def test_a_missing_or_misshapen_weight_is_named():
    name = "bert/encoder/layer_1/output/dense/kernel"
    weights = backend.build(config_of()).weights()
    with pytest.raises(ModelError, match=f"shape .* {name}|{name} has shape"):
        backend.build(config_of(), {**weights, name: weights[name].T})
    del weights[name]
    with pytest.raises(ModelError, match=f"no weight {name}"):
        backend.build(config_of(), weights)


def test_the_head_scores_tokens_as_bert_does():
    config = config_of(hidden_act="gelu")
    transformer = backend.build(config, mlm=True, seed=4)
    random = np.random.default_rng(0)
    # Weights that are not zero or one anywhere.
    weights = {
        name: random.normal(size=value.shape).astype(np.float32)
        for name, value in transformer.weights().items()
    }
    transformer.load(weights)
    hidden = random.normal(size=(3, 16)).astype(np.float32)

    def weight(name):
        return weights[f"cls/predictions/{name}"].astype(np.float64)

    x = hidden @ weight("transform/dense/kernel") + weight("transform/dense/bias")
    x = x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
    x = x * weight("transform/LayerNorm/gamma") + weight("transform/LayerNorm/beta")
    expected = x @ weights["bert/embeddings/word_embeddings"].T + weight("output_bias")
    np.testing.assert_allclose(transformer.mlm_logits(hidden).numpy(), expected, rtol=1e-3, atol=1e-3)
    entries = np.int32([7, 0, 7, 30])
    some = transformer.mlm_logits(hidden, entries).numpy()
    np.testing.assert_allclose(some, expected[:, entries], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "at_one"), [("gelu", 0.841345), ("gelu_tanh", 0.841192), ("relu", 1.0)], ids=lambda value: value
)
def test_activations_are_those_of_the_config(name, at_one):
    activation = backend.keras().activations.get(backend._activation(name))
    assert float(activation(np.float32(1))) == pytest.approx(at_one, abs=2e-6)


def test_dropout_repeats_with_its_batch_and_only_then():
    config = config_of(hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.3)
    transformer = backend.build(config, seed=5)
    tf = backend.tensorflow()

    @tf.function
    def step(token_ids):
        backend.number_dropouts()
        return transformer.model([token_ids, tf.zeros_like(token_ids)], training=True)

    @tf.function
    def evaluate(token_ids):
        return transformer.model([token_ids, tf.zeros_like(token_ids)])

    def run(seed, function=step):
        backend.seed_dropout(seed)
        return function(tf.constant([[5, 6, 7]])).numpy().tobytes()

    first, second = run(1), run(2)
    still = run(1, evaluate)  # traced in between, as an evaluation is
    assert (run(1), run(2)) == (first, second)
    assert len({first, second, still}) == 3
    assert run(2, evaluate) == still
    plain = backend.build(config_of(), transformer.weights())
    np.testing.assert_array_equal(hidden_states(plain, [[5, 6, 7]]), hidden_states(transformer, [[5, 6, 7]]))


def test_every_dropout_of_a_batch_is_another_one():
    tf = backend.tensorflow()
    backend.bert4keras("layers")
    drop = backend.keras().layers.Dropout(0.5)
    backend.seed_dropout(1)
    backend.number_dropouts()
    masks = [drop(tf.ones((8, 8)), training=True).numpy() for _ in range(3)]
    assert len({mask.tobytes() for mask in masks}) == 3
    kept = np.stack(masks)
    assert set(np.unique(kept)) == {0.0, 2.0}
    assert 0.35 < (kept > 0).mean() < 0.65


def test_a_missing_package_names_both_commands_that_install_it(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "bert4keras" else real(name, *more)
    )
    backend.tensorflow.cache_clear()
    with pytest.raises(MissingDependencyError, match="bert4keras, which is not installed") as caught:
        backend.tensorflow()
    assert "pip install 'nlpkit[bert]'" in caught.value.hint
    assert "pip install --no-deps bert4keras==0.11.5" in caught.value.hint


def test_a_gpu_that_is_not_there_is_told():
    with pytest.raises(MissingDependencyError, match="no gpu:99"):
        backend.start("gpu:99")


def test_nothing_heavy_is_imported_before_it_is_asked_for():
    code = (
        "import sys, nlpkit.bert.training; print({'tensorflow', 'tf_keras', 'bert4keras'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
