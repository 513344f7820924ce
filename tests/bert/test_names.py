"""Names and shapes of weights: against published sizes, and against bert4keras itself."""

import importlib.util
import math

import pytest

from nlpkit.bert.config import ModelConfig
from nlpkit.bert.names import OTHER, expected_weights, mlm_weights, unused_reason

BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
}


def num_parameters(architecture, mlm=False, pooler=False, **sizes):
    config = ModelConfig.from_json(architecture, {**BASE, **sizes})
    return sum(map(math.prod, expected_weights(config, mlm=mlm, pooler=pooler).values()))


@pytest.mark.parametrize(
    ("architecture", "sizes", "published"),
    [  # as counted by those who published them
        ("bert", {"vocab_size": 21128, "pooler": True}, 102_267_648),  # bert-base-chinese
        ("bert", {"vocab_size": 30522, "pooler": True}, 109_482_240),  # bert-base-uncased
        ("albert", {"vocab_size": 30000, "embedding_size": 128, "pooler": True}, 11_683_584),  # albert-base
        ("gpt2", {"vocab_size": 50257, "max_position_embeddings": 1024}, 124_439_808),  # gpt2
    ],
)
def test_a_published_model_has_its_number_of_parameters(architecture, sizes, published):
    assert num_parameters(architecture, **sizes) == published


def test_relative_and_rotary_positions_are_no_weights():
    bert = num_parameters("bert", vocab_size=100)
    assert num_parameters("nezha", vocab_size=100) == bert - 512 * 768
    assert num_parameters("roformer", vocab_size=100) == bert - 512 * 768


def test_the_masked_lm_head_ends_in_the_width_of_the_embedding():
    sizes = {"vocab_size": 100, "embedding_size": 128}
    head = num_parameters("bert", mlm=True, **sizes) - num_parameters("bert", **sizes)
    assert head == 768 * 128 + 128 + 2 * 128 + 100


def test_queries_and_keys_may_be_wider_than_values():
    wider = {"attention_key_size": 80, "hidden_size": 24, "num_attention_heads": 3, "num_hidden_layers": 1}
    config = ModelConfig.from_json("bert", {**BASE, "vocab_size": 9, **wider})
    shapes = expected_weights(config)
    attention = "bert/encoder/layer_0/attention/"
    assert shapes[f"{attention}self/query/kernel"] == shapes[f"{attention}self/key/kernel"] == (24, 240)
    assert shapes[f"{attention}self/key/bias"] == (240,)
    assert shapes[f"{attention}self/value/kernel"] == shapes[f"{attention}output/dense/kernel"] == (24, 24)


def test_causal_models_have_no_heads_of_their_own():
    config = ModelConfig.from_json("gpt2", {**BASE, "vocab_size": 9})
    assert expected_weights(config, mlm=True, pooler=True) == expected_weights(config)
    assert mlm_weights(config) == {}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bert/embeddings/word_embeddings/adam_m", "optimizer state"),
        ("bert/encoder/layer_0/output/dense/kernel/AdamWeightDecayOptimizer_1", "optimizer state"),
        ("bert/pooler/dense/bias/lamb_v", "optimizer state"),
        ("cls/predictions/output_bias/Adam_1", "optimizer state"),
        ("training/Adam/bert/pooler/dense/bias/m", "optimizer state"),
        ("global_step", "training step"),
        ("beta1_power", "training step"),
        ("bert/pooler/dense/bias/ExponentialMovingAverage", "moving average"),
        ("cls/seq_relationship/output_weights", "next-sentence head"),
        ("cls.seq_relationship.bias", "next-sentence head"),
        ("sop_classifier.classifier.weight", "next-sentence head"),
        ("cls/predictions/transform/dense/kernel", "part of a masked-LM head"),
        ("predictions.dense.weight", "part of a masked-LM head"),
        ("bert.embeddings.position_ids", "constant"),
        ("roformer.encoder.embed_positions.weight", "constant"),
        ("transformer.h.0.attn.bias", "constant"),
        ("transformer.h.1.attn.masked_bias", "constant"),
        ("bert/encoder/layer_2/output/dense/bias", "a further layer"),
        ("bert.encoder.layer.2.output.dense.bias", "a further layer"),
        ("transformer.h.12.ln_1.bias", "a further layer"),
        ("bert/encoder/layer_1/output/dense/bias", OTHER),
        ("albert.encoder.albert_layer_groups.2.albert_layers.3.ffn.bias", OTHER),
        ("transformer.h.0.attn.c_attn.bias", OTHER),
        ("transformer.h.0.crossattention.c_attn.bias", OTHER),
        ("bert.embeddings.task_type_embeddings.weight", OTHER),
        ("classifier.weight", OTHER),
        ("output_weights", OTHER),
    ],
)
def test_says_why_a_variable_is_not_used(name, reason):
    assert unused_reason(name, 2) == reason


@pytest.mark.skipif(importlib.util.find_spec("bert4keras") is None, reason="needs TensorFlow and bert4keras")
@pytest.mark.parametrize(
    ("architecture", "sizes"),
    [
        ("bert", {}),
        ("bert", {"embedding_size": 8, "attention_key_size": 6, "type_vocab_size": 0}),
        ("albert", {"embedding_size": 8}),
        ("albert", {"attention_key_size": 6}),
        ("nezha", {"embedding_size": 8}),
        ("roformer", {}),
        ("roformer", {"embedding_size": 8, "attention_key_size": 6}),
        ("gpt", {}),
        ("gpt", {"type_vocab_size": 0}),
        ("gpt2", {}),
    ],
)
def test_bert4keras_has_the_same_names_and_shapes(architecture, sizes):
    from nlpkit.bert import backend

    small = {"vocab_size": 11, "hidden_size": 12, "num_attention_heads": 3, "num_hidden_layers": 2}
    config = ModelConfig.from_json(
        architecture, {**small, "intermediate_size": 20, "max_position_embeddings": 7, **sizes}
    )
    for mlm, pooler in [(False, False), (True, False), (False, True)]:
        model = backend.Transformer(config, mlm=mlm, pooler=pooler)
        theirs = {name: tuple(variable.shape) for name, variable in model.variables.items()}
        assert expected_weights(config, mlm=mlm, pooler=pooler) == theirs
