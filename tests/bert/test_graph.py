"""Graphs against a slow transformer in numpy that loops over rows, heads and positions."""

import math

import numpy as np
import onnx
import onnxruntime
import pytest

from nlpkit.bert.graph import build_graph
from nlpkit.bert.graph_builder import GraphBuilder, embedded
from nlpkit.bert.names import ALBERT_GROUP, albert_name, layer_weights

ARCHITECTURES = ["bert", "albert", "nezha", "roformer", "gpt", "gpt2"]
TOKENS = np.array([[2, 7, 9, 7, 3], [2, 8, 3, 0, 0], [5, 0, 6, 7, 8], [0, 0, 0, 0, 0]])
SEGMENTS = np.array([[0, 0, 1, 1, 1], [0, 0, 1, 0, 0], [1, 0, 1, 0, 1], [0, 0, 0, 0, 0]])
POSITIONS = np.array([[1, 4], [0, 0], [3, 2], [0, 4]])


def session(model):
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def run(model, **inputs):
    """All outputs, by name."""
    opened = session(model)
    feeds = {item.name: np.asarray(inputs[item.name], np.int64) for item in opened.get_inputs()}
    names = [item.name for item in opened.get_outputs()]
    return dict(zip(names, opened.run(names, feeds), strict=True))


def hidden(config, weights, token_ids, segment_ids=None, **more):
    token_ids = np.asarray(token_ids)
    segment_ids = np.zeros_like(token_ids) if segment_ids is None else segment_ids
    model = build_graph(config, embedded(weights), **more)
    return run(model, token_ids=token_ids, segment_ids=segment_ids)["hidden"]


class Slow:
    """One row at a time, in float64."""

    def __init__(self, config, weights):
        self.config = config
        self.weights = {name: array.astype(float) for name, array in weights.items()}
        self.root = "gpt" if config.architecture.startswith("gpt") else "bert"

    def linear(self, x, name):
        return x @ self.weights[f"{name}/kernel"] + self.weights[f"{name}/bias"]

    def norm(self, x, name):
        # The constants differ by architecture, all of them too small to be seen in these numbers but gpt2's.
        epsilon = 1e-5 if self.config.architecture == "gpt2" else 1e-12
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon)
        return x * self.weights[f"{name}/gamma"] + self.weights[f"{name}/beta"]

    def activate(self, x):
        kind = self.config.hidden_act
        erf = np.vectorize(math.erf)
        if kind == "gelu":
            return x * 0.5 * (1 + erf(x / math.sqrt(2)))
        if kind == "gelu_tanh":
            return x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        return np.maximum(x, 0)

    def sees(self, tokens, query, key):
        if self.root == "gpt" and key > query:
            return False
        return key == 0 or tokens[key] != 0

    def way(self, distance, size):
        """The vector that nezha adds for a key so far behind its query."""
        most = self.config.max_relative_position
        place = min(max(distance, -most), most) + most
        angles = [place / 10000 ** (2 * i / size) for i in range(size // 2)]
        return np.array([f(angle) for angle in angles for f in (math.sin, math.cos)])

    def turned(self, vector, place):
        """Roformer's rotation of each pair of numbers, as one of complex numbers."""
        pairs = vector[::2] + 1j * vector[1::2]
        size = len(vector)
        pairs = pairs * np.exp([1j * place / 10000 ** (2 * i / size) for i in range(size // 2)])
        return np.stack([pairs.real, pairs.imag], -1).ravel()

    def attend(self, x, tokens, prefix):
        kind, heads = self.config.architecture, self.config.num_attention_heads
        query, key, value = (
            np.split(self.linear(x, f"{prefix}/self/{part}"), heads, axis=1)
            for part in ("query", "key", "value")
        )
        out = [np.zeros_like(v) for v in value]
        for head in range(heads):
            size = query[head].shape[1]
            for j in range(len(x)):
                seen = [k for k in range(len(x)) if self.sees(tokens, j, k)]
                scores = []
                for k in seen:
                    q, key_vector = query[head][j], key[head][k]
                    if kind == "roformer":
                        q, key_vector = self.turned(q, j), self.turned(key_vector, k)
                    if kind == "nezha":
                        key_vector = key_vector + self.way(k - j, size)
                    scores.append(math.exp(q @ key_vector / math.sqrt(size)))
                for k, score in zip(seen, scores, strict=True):
                    v = value[head][k] + (self.way(k - j, size) if kind == "nezha" else 0)
                    out[head][j] += v * score / sum(scores)
        return self.linear(np.concatenate(out, axis=1), f"{prefix}/output/dense")

    def layer(self, x, tokens, index):
        stack = "gpt/transformer" if self.root == "gpt" else "bert/encoder"
        prefix = f"{stack}/layer_{index}"

        def feed(x):
            return self.linear(
                self.activate(self.linear(x, f"{prefix}/intermediate/dense")), f"{prefix}/output/dense"
            )

        if self.config.architecture == "gpt2":
            x = x + self.attend(
                self.norm(x, f"{prefix}/attention/input/LayerNorm"), tokens, f"{prefix}/attention"
            )
            return x + feed(self.norm(x, f"{prefix}/input/LayerNorm"))
        attended = self.attend(x, tokens, f"{prefix}/attention")
        x = self.norm(x + attended, f"{prefix}/attention/output/LayerNorm")
        return self.norm(x + feed(x), f"{prefix}/output/LayerNorm")

    def row(self, tokens, segments):
        """The hidden states of every depth."""
        kind, table = self.config.architecture, f"{self.root}/embeddings"
        x = self.weights[f"{table}/word_embeddings"][tokens]
        if kind != "gpt2":
            x = x + self.weights[f"{table}/token_type_embeddings"][segments]
        if kind not in ("nezha", "roformer"):
            x = x + self.weights[f"{table}/position_embeddings"][: len(tokens)]
        if self.root == "bert":
            x = self.norm(x, f"{table}/LayerNorm")
        if self.config.embedding_size != self.config.hidden_size:
            x = self.linear(x, "bert/encoder/embedding_hidden_mapping_in")
        states = [x]
        for index in range(self.config.num_hidden_layers):
            states.append(self.layer(states[-1], tokens, index))
        if kind == "gpt2":
            states[-1] = self.norm(states[-1], "gpt/output/LayerNorm")
        return states

    def states(self, token_ids, segment_ids):
        rows = [self.row(*row) for row in zip(token_ids, segment_ids, strict=True)]
        return [np.stack(layer) for layer in zip(*rows, strict=True)]

    def logits(self, x):
        words = self.weights[f"{self.root}/embeddings/word_embeddings"]
        if self.root == "gpt":
            return x @ words.T
        x = self.activate(self.linear(x, "cls/predictions/transform/dense"))
        x = self.norm(x, "cls/predictions/transform/LayerNorm")
        return x @ words.T + self.weights["cls/predictions/output_bias"]


def small(random_model, architecture, **sizes):
    """A model with weights of a size that leaves softmax and activation something to do."""
    config, weights = random_model(architecture, **sizes)
    return config, {name: array * np.float32(0.5) for name, array in weights.items()}


CASES = [
    ("bert", {}),
    ("bert", {"hidden_act": "gelu_tanh", "embedding_size": 6}),
    ("bert", {"hidden_act": "relu", "attention_key_size": 6}),
    ("nezha", {"max_relative_position": 2}),
    ("nezha", {"embedding_size": 6}),
    ("roformer", {}),
    ("roformer", {"attention_key_size": 6}),
    ("gpt", {}),
    ("gpt2", {"hidden_act": "gelu_tanh"}),
]


@pytest.mark.parametrize(("architecture", "sizes"), CASES)
def test_every_layer_is_as_in_the_slow_model(random_model, architecture, sizes):
    config, weights = small(random_model, architecture, **sizes)
    states = Slow(config, weights).states(TOKENS, SEGMENTS)
    assert len(states) == 3
    for layer, expected in enumerate(states):
        got = hidden(config, weights, TOKENS, SEGMENTS, layer=layer)
        np.testing.assert_allclose(got, expected, atol=2e-5)
    np.testing.assert_array_equal(got, hidden(config, weights, TOKENS, SEGMENTS, layer=-1))


@pytest.mark.parametrize(("architecture", "sizes"), CASES)
def test_logits_are_as_in_the_slow_model(random_model, architecture, sizes):
    config, weights = small(random_model, architecture, **sizes)
    slow = Slow(config, weights)
    last = slow.states(TOKENS, SEGMENTS)[-1]
    expected = slow.logits(last)
    inputs = {"token_ids": TOKENS, "segment_ids": SEGMENTS, "positions": POSITIONS}
    got = run(build_graph(config, embedded(weights), logits="all"), **inputs)
    np.testing.assert_allclose(got["logits"], expected, atol=3e-5)
    got = run(build_graph(config, embedded(weights), logits="positions"), **inputs)
    for row, positions in enumerate(POSITIONS):
        np.testing.assert_allclose(got["logits"][row], expected[row, positions], atol=3e-5)
    np.testing.assert_allclose(got["hidden"], last, atol=2e-5)


def test_albert_is_a_bert_whose_layers_are_equal(random_model):
    config, weights = small(random_model, "albert", embedding_size=6)
    unshared = {name: array for name, array in weights.items() if not name.startswith(ALBERT_GROUP)}
    for index in range(2):
        for part in layer_weights(config):
            unshared[f"bert/encoder/layer_{index}/{part}"] = weights[albert_name(part)]
    expected = Slow(config, unshared).states(TOKENS, SEGMENTS)[-1]
    np.testing.assert_allclose(hidden(config, weights, TOKENS, SEGMENTS), expected, atol=2e-5)
    model = build_graph(config, embedded(weights))
    names = [tensor.name for tensor in model.graph.initializer if tensor.name.startswith("bert/encoder/tr")]
    assert len(names) == 16  # one layer's, though there are two layers


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padding_changes_nothing_for_the_tokens(random_model, architecture):
    config, weights = small(random_model, architecture)
    plain = hidden(config, weights, [[2, 7, 9, 3]])
    padded = hidden(config, weights, [[2, 7, 9, 3, 0, 0, 0]])
    np.testing.assert_allclose(padded[:, :4], plain, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_only_gpt_cannot_look_ahead(random_model, architecture):
    config, weights = small(random_model, architecture)
    one, other = hidden(config, weights, [[2, 7, 9, 3], [2, 7, 9, 8]])
    assert np.allclose(one[:3], other[:3], atol=1e-6) == architecture.startswith("gpt")


@pytest.mark.parametrize("architecture", ["nezha", "roformer"])
def test_relative_positions_know_no_longest_input(random_model, architecture):
    config, weights = small(random_model, architecture)
    tokens = np.arange(200) % 20 + 5
    assert hidden(config, weights, [tokens]).shape == (1, 200, 12)


def test_a_graph_ends_at_the_layer_that_was_asked_for(random_model):
    config, weights = random_model("bert")
    one = {tensor.name for tensor in build_graph(config, embedded(weights), layer=1).graph.initializer}
    assert "bert/encoder/layer_0/output/LayerNorm/beta" in one
    assert not any(name.startswith("bert/encoder/layer_1/") for name in one)
    with pytest.raises(IndexError):
        build_graph(config, embedded(weights), layer=3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_rows_and_no_positions_are_no_error(random_model, architecture):
    config, weights = random_model(architecture)
    model = build_graph(config, embedded(weights), logits="positions")
    none = np.zeros((0, 5))
    got = run(model, token_ids=none, segment_ids=none, positions=np.zeros((0, 2)))
    assert got["hidden"].shape == (0, 5, 12)
    got = run(model, token_ids=TOKENS, segment_ids=SEGMENTS, positions=np.zeros((4, 0)))
    assert got["logits"].shape == (4, 0, 30)


def test_float16_weights_are_float32_in_the_graph(random_model):
    config, weights = small(random_model, "bert")
    rounded = {name: array.astype("f2").astype("f4") for name, array in weights.items()}
    model = build_graph(config, embedded(weights, np.float16))
    got = run(model, token_ids=TOKENS, segment_ids=SEGMENTS)["hidden"]
    np.testing.assert_allclose(got, hidden(config, rounded, TOKENS, SEGMENTS), atol=1e-6)


def multiply(x, matrix, method, **arguments):
    """Let an int8 graph multiply x, whose numbers are taken from a table, by a matrix."""
    weights = {"x": np.array(x, "f4"), "m/kernel": np.array(matrix, "f4"), "m/bias": np.zeros(2, "f4")}
    graph = GraphBuilder(embedded(weights), quantize=True)
    rows = graph.rows("x", graph.input("which", "n"))
    graph.output("y", getattr(graph, method)(rows, **arguments), "n", 2)
    return run(graph.model(), which=range(len(x)))["y"]


def test_int8_products_are_exact_where_all_numbers_are_steps():
    # Column maxima of 64 and 32 make steps of 1 and .5; x from 0 to 255 is rounded by a step of 1.
    x, matrix = [[0, 255], [10, 20]], [[64, -3.5], [1, 32]]
    np.testing.assert_array_equal(multiply(x, matrix, "matmul", name="m/kernel"), np.array(x) @ matrix)
    transposed = [[64, 1], [-3.5, 32]]  # here the rows have those maxima
    got = multiply(x, transposed, "matmul", name="m/kernel", transposed=True)
    np.testing.assert_array_equal(got, np.array(x) @ np.transpose(transposed))


def test_a_large_row_does_not_blur_a_small_one_where_rows_are_uneven():
    x, matrix = [[1000.0, -0.1], [0.7, 0.3]], [[1, 0], [0, 1]]
    blurred = multiply(x, matrix, "linear", name="m")[1]
    assert np.abs(blurred - x[1]).max() > 0.2
    np.testing.assert_allclose(multiply(x, matrix, "uneven_linear", name="m")[1], x[1], atol=0.01)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_int8_model_is_close(random_model, architecture):
    sizes = {"hidden_size": 48, "intermediate_size": 96}
    config, weights = small(random_model, architecture, **sizes)
    weights = {name: a * (np.float32(0.3) if a.ndim > 1 else 1) for name, a in weights.items()}
    inputs = {"token_ids": TOKENS[:3], "segment_ids": SEGMENTS[:3], "positions": POSITIONS[:3]}
    exact = run(build_graph(config, embedded(weights), logits="positions"), **inputs)
    model = build_graph(config, embedded(weights), logits="positions", quantize=True)
    close = run(model, **inputs)
    for name in ("hidden", "logits"):
        error = np.sqrt(np.mean((close[name] - exact[name]) ** 2) / np.mean(exact[name] ** 2))
        assert 1e-4 < error < 0.05
    kinds = {t.name.split("/")[-1]: t.data_type for t in model.graph.initializer if len(t.dims) == 2}
    assert kinds["kernel.int8"] == kinds["word_embeddings.int8"] == onnx.TensorProto.INT8
    assert not {"kernel", "word_embeddings"} & kinds.keys()
