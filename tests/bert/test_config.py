"""Sizes that no model can have are refused in words, before anything is built."""

import pytest

from nlpkit.bert.config import ModelConfig
from nlpkit.errors import ModelError

FIELDS = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
}


def test_a_published_config_is_read():
    config = ModelConfig.from_json("bert", FIELDS | {"hidden_act": "gelu_new", "directionality": "bidi"})
    assert (config.embedding_size, config.head_size, config.key_size) == (24, 6, 6)
    assert config.hidden_act == "gelu_tanh"
    assert ModelConfig.from_json("bert", config.to_json()) == config


@pytest.mark.parametrize(
    ("architecture", "change", "message"),
    [
        ("bart", {}, "unknown architecture 'bart'"),
        ("bert", {"hidden_size": None}, "no hidden_size"),
        ("bert", {"hidden_size": "24"}, "hidden_size: '24'"),
        ("bert", {"hidden_size": True}, "hidden_size: True"),
        ("bert", {"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ("bert", {"num_attention_heads": 5}, "cannot be split among 5 heads"),
        ("bert", {"hidden_act": "swish"}, "unknown activation 'swish'"),
        ("bert", {"hidden_act": [1]}, "hidden_act: \\[1\\]"),
        ("bert", {"hidden_dropout_prob": 1.5}, "hidden_dropout_prob: 1.5"),
        ("gpt", {"embedding_size": 16}, "embedding_size = hidden_size"),
        ("roformer", {"attention_key_size": 5}, "keys have 5"),
        ("nezha", {"attention_key_size": 8}, "not 8 and 6"),
    ],
)
def test_what_no_model_can_have_is_refused(architecture, change, message):
    with pytest.raises(ModelError, match=message):
        ModelConfig.from_json(architecture, FIELDS | change)


@pytest.mark.parametrize("architecture", ["nezha", "roformer"])
def test_relative_positions_have_no_longest_input(architecture):
    assert ModelConfig.from_json(architecture, FIELDS).max_length is None
    assert ModelConfig.from_json("bert", FIELDS).max_length == 512
