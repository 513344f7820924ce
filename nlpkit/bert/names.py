"""The weights that a transformer must have: canonical names and shapes.

The names are those of TensorFlow's BERT checkpoints as bert4keras reads them. Kernels are (input, output).
"""

from __future__ import annotations

import re

from nlpkit.bert.config import ModelConfig

Shapes = dict[str, tuple[int, ...]]

ALBERT_GROUP = "bert/encoder/transformer/group_0/inner_group_0/"
# What ALBERT calls the parts of its one layer, by what BERT calls them.
_ALBERT_PARTS = {
    "attention/self/": "attention_1/self/",
    "attention/output/dense/": "attention_1/output/dense/",
    "attention/output/LayerNorm/": "LayerNorm/",
    "intermediate/dense/": "ffn_1/intermediate/dense/",
    "output/dense/": "ffn_1/intermediate/output/dense/",
    "output/LayerNorm/": "LayerNorm_1/",
}

OTHER = "another head"
_REASONS = (
    ("training step", r"^(global_step|save_counter|beta[12]_power)\b"),
    ("moving average", r"exponentialmovingaverage$|/ema$"),
    ("optimizer state", r"/(adam(_[mv]|_\d)?|lamb(_[mv])?|momentum|accumulator|vr|vc)$|optimizer|^training/"),
    ("next-sentence head", r"seq_relationship|sop_classifier"),
    ("part of a masked-LM head", r"(^|[./])predictions[./]"),
    (
        "constant",
        r"\.(position_ids|token_type_ids|embed_positions\.weight|positions_encoding|attn\.(masked_)?bias)$",
    ),
)
_LAYER = re.compile(r"(?:^|[./])(?:layer[._]|h\.)(\d+)[./]")


def expected_weights(config: ModelConfig, *, mlm: bool = False, pooler: bool = False) -> Shapes:
    """Return the shape of every weight of a model by its canonical name.

    Args:
        config: the model's sizes.
        mlm: with the masked-LM head. gpt and gpt2 score tokens with their embedding and have none.
        pooler: with the layer on [CLS]; gpt and gpt2 have none.
    """
    if config.is_causal:
        return _embeddings(config) | _layers(config) | _last_norm(config)
    shapes = _embeddings(config) | _layers(config)
    if pooler:
        shapes |= pooler_weights(config)
    if mlm:
        shapes |= mlm_weights(config)
    return shapes


def pooler_weights(config: ModelConfig) -> Shapes:
    """Return the layer on [CLS] alone."""
    return {} if config.is_causal else _dense("bert/pooler/dense/", config.hidden_size, config.hidden_size)


def mlm_weights(config: ModelConfig) -> Shapes:
    """Return the masked-LM head alone; its output matrix is the token embedding."""
    if config.is_causal:
        return {}
    head = "cls/predictions/"
    return {
        **_dense(f"{head}transform/dense/", config.hidden_size, config.embedding_size),
        **_norm(f"{head}transform/LayerNorm/", config.embedding_size),
        f"{head}output_bias": (config.vocab_size,),
    }


def layer_weights(config: ModelConfig) -> Shapes:
    """Return one layer under BERT's names for its parts, without the layer's own prefix."""
    hidden, queries = config.hidden_size, config.key_size * config.num_attention_heads
    return {
        **_dense("attention/self/query/", hidden, queries),
        **_dense("attention/self/key/", hidden, queries),
        **_dense("attention/self/value/", hidden, hidden),
        **_dense("attention/output/dense/", hidden, hidden),
        **_norm("attention/output/LayerNorm/", hidden),
        **_dense("intermediate/dense/", hidden, config.intermediate_size),
        **_dense("output/dense/", config.intermediate_size, hidden),
        **_norm("output/LayerNorm/", hidden),
    }


def albert_name(part: str) -> str:
    """Return the canonical name in ALBERT's shared layer of a name of `layer_weights`."""
    bert = next(name for name in _ALBERT_PARTS if part.startswith(name))
    return ALBERT_GROUP + _ALBERT_PARTS[bert] + part.removeprefix(bert)


def unused_reason(name: str, num_layers: int) -> str:
    """Say what a variable is that a model of so many layers does not use; `OTHER` when it is not known.

    Args:
        name: as the file has it, TensorFlow's or PyTorch's.
        num_layers: layers that are used; a file may have more.
    """
    layer = _LAYER.search(name)
    if layer and int(layer[1]) >= num_layers:
        return "a further layer"
    return next((reason for reason, form in _REASONS if re.search(form, name, re.IGNORECASE)), OTHER)


def _embeddings(config: ModelConfig) -> Shapes:
    root, size = "gpt" if config.is_causal else "bert", config.embedding_size
    shapes: Shapes = {f"{root}/embeddings/word_embeddings": (config.vocab_size, size)}
    if config.type_vocab_size and config.architecture != "gpt2":
        shapes[f"{root}/embeddings/token_type_embeddings"] = (config.type_vocab_size, size)
    if config.max_length is not None:
        shapes[f"{root}/embeddings/position_embeddings"] = (config.max_length, size)
    if not config.is_causal:
        shapes |= _norm(f"{root}/embeddings/LayerNorm/", size)
    if size != config.hidden_size:
        shapes |= _dense(f"{root}/encoder/embedding_hidden_mapping_in/", size, config.hidden_size)
    return shapes


def _layers(config: ModelConfig) -> Shapes:
    parts = layer_weights(config)
    if config.architecture == "albert":
        return {albert_name(part): shape for part, shape in parts.items()}
    if config.architecture == "gpt2":  # its norms stand before what they belong to
        parts = {part.replace("output/LayerNorm", "input/LayerNorm"): shape for part, shape in parts.items()}
    stack = "gpt/transformer" if config.is_causal else "bert/encoder"
    return {
        f"{stack}/layer_{number}/{part}": shape
        for number in range(config.num_hidden_layers)
        for part, shape in parts.items()
    }


def _last_norm(config: ModelConfig) -> Shapes:
    return _norm("gpt/output/LayerNorm/", config.hidden_size) if config.architecture == "gpt2" else {}


def _dense(prefix: str, inputs: int, outputs: int) -> Shapes:
    return {f"{prefix}kernel": (inputs, outputs), f"{prefix}bias": (outputs,)}


def _norm(prefix: str, size: int) -> Shapes:
    return {f"{prefix}beta": (size,), f"{prefix}gamma": (size,)}
