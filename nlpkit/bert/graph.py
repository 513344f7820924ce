"""ONNX graphs of transformers, written from the config alone.

A graph with a head of its own is `encode`, then the head's operators, then `GraphBuilder.output`.
Import this module inside functions: the `onnx` package alone takes .2 s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from nlpkit.bert.config import ModelConfig
from nlpkit.bert.graph_builder import GraphBuilder, Place
from nlpkit.bert.names import albert_name

Name = Callable[[str], str]  # BERT's name of a layer's part to the canonical name

_UNSEEN = -1e9  # added to the score of a key that must not be seen; its exponential is 0
# What bert4keras adds to the variance; 1e-7 for the others.
_LAYER_EPSILON = {"bert": 1e-12, "gpt": 1e-12, "gpt2": 1e-5}
_EMBEDDING_EPSILON = {"bert": 1e-12, "albert": 1e-12}
_EPSILON = 1e-7
_MLM_EPSILON = 1e-12


@dataclass(frozen=True)
class Geometry:
    """What every layer's attention knows of the positions.

    Attributes:
        bias: added to the scores, broadcast to (batch, heads, queries, keys).
        relative: nezha's vectors of the way from query to key, shape (queries, keys, head_size).
        rotation: roformer's cosines and sines, both of shape (length, key_size).
    """

    bias: str
    relative: str | None = None
    rotation: tuple[str, str] | None = None


def build_graph(
    config: ModelConfig,
    place: Place,
    *,
    layer: int = -1,
    logits: Literal["positions", "all"] | None = None,
    quantize: bool = False,
) -> ModelProto:
    """Build a model of `token_ids`, `segment_ids` (where it has segments) and perhaps `positions`.

    Its output `hidden`, shape (batch, length, hidden), is what `encode` returns; `logits` has shape
    (batch, k, vocab_size), for the k positions of each row or for the whole length.

    Raises:
        IndexError: no such layer.
    """
    graph = GraphBuilder(place, quantize=quantize)
    hidden = encode(graph, config, layer)
    graph.output("hidden", hidden, "batch", "length", config.hidden_size)
    if logits:
        if logits == "positions":
            hidden = graph.vectors_at(hidden, graph.input("positions", "batch", "k"))
        scores = token_logits(graph, config, hidden)
        graph.output("logits", scores, "batch", "k" if logits == "positions" else "length", config.vocab_size)
    return graph.model()


def encode(graph: GraphBuilder, config: ModelConfig, layer: int = -1) -> str:
    """Add the inputs, and the layers up to one of them.

    Args:
        layer: which of the num_hidden_layers + 1 hidden states: 0 is the embedding, -1 the last one.

    Returns:
        Shape (batch, length, hidden_size).

    Raises:
        IndexError: no such layer.
    """
    depth = range(config.num_hidden_layers + 1)[layer]
    token_ids = graph.input("token_ids", "batch", "length")
    places = graph.places(token_ids)
    x = _embedding(graph, config, token_ids, places)
    geometry = _geometry(graph, config, token_ids, places)
    for index in range(depth):
        x = _layer(graph, config, partial(_layer_name, config, index), x, geometry)
    if config.architecture == "gpt2" and depth == config.num_hidden_layers:
        x = graph.layer_norm(x, "gpt/output/LayerNorm", _LAYER_EPSILON["gpt2"])
    return x


def token_logits(graph: GraphBuilder, config: ModelConfig, hidden: str) -> str:
    """Score every entry of the vocabulary by the last hidden states, shape (..., hidden_size)."""
    if not config.is_causal:
        x = graph.activation(graph.linear(hidden, "cls/predictions/transform/dense"), config.hidden_act)
        x = graph.layer_norm(x, "cls/predictions/transform/LayerNorm", _MLM_EPSILON)
        scores = graph.matmul(x, "bert/embeddings/word_embeddings", transposed=True)
        return graph.add("Add", scores, graph.weight("cls/predictions/output_bias"))
    return graph.matmul(hidden, "gpt/embeddings/word_embeddings", transposed=True)


def _embedding(graph: GraphBuilder, config: ModelConfig, token_ids: str, places: str) -> str:
    root = "gpt" if config.is_causal else "bert"
    x = graph.token_rows(f"{root}/embeddings/word_embeddings", token_ids)
    if config.type_vocab_size and config.architecture != "gpt2":
        segment_ids = graph.input("segment_ids", "batch", "length")
        x = graph.add("Add", x, graph.rows(f"{root}/embeddings/token_type_embeddings", segment_ids))
    if config.max_length is not None:
        x = graph.add("Add", x, graph.rows(f"{root}/embeddings/position_embeddings", places))
    if not config.is_causal:
        epsilon = _EMBEDDING_EPSILON.get(config.architecture, _EPSILON)
        x = graph.layer_norm(x, "bert/embeddings/LayerNorm", epsilon)
    if config.embedding_size != config.hidden_size:
        x = graph.linear(x, "bert/encoder/embedding_hidden_mapping_in")
    return x


def _geometry(graph: GraphBuilder, config: ModelConfig, token_ids: str, places: str) -> Geometry:
    # bert4keras lets the first position be seen even where it is padding: no row is without a key.
    padding = graph.add("Equal", token_ids, graph.constant(0))
    padding = graph.add("And", padding, graph.add("Greater", places, graph.constant(0)))
    unseen = graph.add("Unsqueeze", padding, graph.constant([1, 2]))
    queries = graph.add("Unsqueeze", places, graph.constant([1]))
    if config.is_causal:
        unseen = graph.add("Or", unseen, graph.add("Greater", places, queries))
    bias = graph.add("Mul", graph.to_float(unseen), graph.constant(_UNSEEN, np.float32))
    if config.architecture == "nezha":
        farthest = config.max_relative_position
        way = graph.add("Sub", places, queries)
        way = graph.add("Clip", way, graph.constant(-farthest), graph.constant(farthest))
        table = _sinusoids(2 * farthest + 1, config.key_size)
        indices = graph.add("Add", way, graph.constant(farthest))
        return Geometry(bias, relative=graph.add("Gather", graph.constant(table, np.float32), indices))
    if config.architecture == "roformer":
        frequencies = graph.constant(np.repeat(_frequencies(config.key_size), 2), np.float32)
        angles = graph.add("Mul", graph.to_float(queries), frequencies)
        return Geometry(bias, rotation=(graph.add("Cos", angles), graph.add("Sin", angles)))
    return Geometry(bias)


def _frequencies(size: int) -> npt.NDArray[np.float64]:
    """Radians per position of the size / 2 waves, as Vaswani et al. 2017 have them."""
    return np.power(10000.0, -np.arange(0, size, 2) / size)


def _sinusoids(rows: int, size: int) -> npt.NDArray[np.float64]:
    """Sines in the even columns, cosines in the odd ones."""
    angles = np.outer(np.arange(rows), _frequencies(size))
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(rows, size)


def _layer_name(config: ModelConfig, index: int, part: str) -> str:
    """Return the name of a layer's part, which BERT calls `part`."""
    if config.architecture == "albert":
        return albert_name(f"{part}/").rstrip("/")
    if config.architecture == "gpt2":
        part = part.replace("output/LayerNorm", "input/LayerNorm")
    return f"{'gpt/transformer' if config.is_causal else 'bert/encoder'}/layer_{index}/{part}"


def _layer(graph: GraphBuilder, config: ModelConfig, name: Name, x: str, geometry: Geometry) -> str:
    """Attention and two matrices, each added to what went in; gpt2 normalises before, the others after."""

    def attend(x: str) -> str:
        return _attention(graph, config, name, x, geometry)

    def feed_forward(x: str) -> str:
        inner = graph.activation(graph.linear(x, name("intermediate/dense")), config.hidden_act)
        return graph.uneven_linear(inner, name("output/dense"))

    epsilon = _LAYER_EPSILON.get(config.architecture, _EPSILON)
    for step, norm in ((attend, "attention/output/LayerNorm"), (feed_forward, "output/LayerNorm")):
        if config.architecture == "gpt2":
            x = graph.add("Add", x, step(graph.layer_norm(x, name(norm), epsilon)))
        else:
            x = graph.layer_norm(graph.add("Add", x, step(x)), name(norm), epsilon)
    return x


def _attention(graph: GraphBuilder, config: ModelConfig, name: Name, x: str, geometry: Geometry) -> str:
    def heads_of(part: str, size: int) -> str:
        return graph.split_heads(graph.linear(x, name(f"attention/self/{part}")), heads, size)

    heads, size = config.num_attention_heads, config.key_size
    query, key, value = heads_of("query", size), heads_of("key", size), heads_of("value", config.head_size)
    if geometry.rotation:
        query, key = (_rotate(graph, each, size, geometry.rotation) for each in (query, key))
    scores = graph.add("MatMul", query, graph.add("Transpose", key, perm=[0, 1, 3, 2]))
    if geometry.relative:
        more = graph.add("Einsum", query, geometry.relative, equation="bhjd,jkd->bhjk")
        scores = graph.add("Add", scores, more)
    scores = graph.add("Mul", scores, graph.constant(size**-0.5, np.float32))
    weights = graph.add("Softmax", graph.add("Add", scores, geometry.bias), axis=-1)
    result = graph.add("MatMul", weights, value)
    if geometry.relative:
        more = graph.add("Einsum", weights, geometry.relative, equation="bhjk,jkd->bhjd")
        result = graph.add("Add", result, more)
    return graph.linear(graph.join_heads(result, config.hidden_size), name("attention/output/dense"))


def _rotate(graph: GraphBuilder, x: str, size: int, rotation: tuple[str, str]) -> str:
    """Turn each pair of neighbours (a, b) by its angle: (a, b) cos + (-b, a) sin (Su et al. 2021)."""
    cosines, sines = rotation
    quarter = np.kron(np.eye(size // 2), [[0, 1], [-1, 0]])  # (a, b) times it is (-b, a)
    turned = graph.add("MatMul", x, graph.constant(quarter, np.float32))
    return graph.add("Add", graph.add("Mul", x, cosines), graph.add("Mul", turned, sines))
