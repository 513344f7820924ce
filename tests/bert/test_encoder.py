"""What an encoder takes and refuses, and what it does when memory runs out."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from nlpkit.bert import encoder
from nlpkit.bert.checkpoint import Checkpoint
from nlpkit.bert.encoder import open_encoder, open_masked_lm
from nlpkit.errors import MissingDependencyError, ModelError


@pytest.fixture
def checkpoint(random_model):
    config, weights = random_model("bert")
    return Checkpoint(config, ["[PAD]"] * 30, weights, False, Path("nowhere"))


class Device:
    """A model whose hidden states are its token ids, on a device that holds so many of them."""

    def __init__(self, most_tokens=10**9):
        self.most_tokens = most_tokens
        self.shapes = []

    def run(self, output, **inputs):
        self.shapes.append(inputs["token_ids"].shape)
        if inputs["token_ids"].size > self.most_tokens:
            raise MemoryError
        return inputs["token_ids"][:, :, None] + 100.0 * inputs["segment_ids"][:, :, None]


@pytest.fixture
def device(monkeypatch):
    device = Device()
    monkeypatch.setattr(encoder, "_open", lambda *arguments, **options: device)
    return device


def test_rows_that_do_not_fit_are_run_in_halves_and_it_says_so(checkpoint, device):
    device.most_tokens = 12
    said = []
    encode = open_encoder(checkpoint, report=said.append)
    tokens = np.arange(28).reshape(7, 4)
    segments = np.array([[0], [0], [1], [0], [1], [0], [1]]) * np.ones((1, 4), int)
    np.testing.assert_array_equal(encode(tokens, segments), (tokens + 100 * segments)[:, :, None])
    assert device.shapes == [(7, 4), (3, 4), (3, 4), (1, 4)]
    assert said == ["not enough memory for 7 rows of 4 tokens: going on with 3"]


def test_the_next_batch_starts_with_what_was_found_to_fit(checkpoint, device):
    device.most_tokens = 12
    encode = open_encoder(checkpoint, report=lambda text: None)
    encode(np.ones((4, 4), int))
    device.shapes.clear()
    encode(np.ones((4, 4), int))
    encode(np.ones((4, 2), int))
    assert device.shapes == [(2, 4), (2, 4), (4, 2)]


def test_memory_that_runs_out_is_a_warning_where_nobody_listens(checkpoint, device):
    device.most_tokens = 8
    with pytest.warns(RuntimeWarning, match="not enough memory for 4 rows of 4 tokens"):
        open_encoder(checkpoint)(np.ones((4, 4), int))


def test_one_row_that_does_not_fit_is_an_error_with_a_way_out(checkpoint, device):
    device.most_tokens = 3
    with pytest.raises(ModelError, match="a row of 4 tokens") as caught:
        open_encoder(checkpoint, report=lambda text: None)(np.ones((5, 4), int))
    assert "--device cpu" in caught.value.hint


LIMITED = """
import resource, sys
import numpy as np
from pathlib import Path
from nlpkit.bert.checkpoint import Checkpoint
from nlpkit.bert.config import ModelConfig
from nlpkit.bert.encoder import open_encoder
from nlpkit.bert.names import expected_weights

config = ModelConfig("bert", 30, 16, 1, 4, 16, 16)
weights = {name: np.zeros(shape, "f4") for name, shape in expected_weights(config).items()}
said = []
encode = open_encoder(
    Checkpoint(config, ["[PAD]"] * 30, weights, False, Path("nowhere")), threads=1, report=said.append
)
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (600 << 20),) * 2)
print(encode(np.ones((320, 512), int)).shape, said[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_onnx_runtime_without_memory_goes_on_in_halves():
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith("(320, 512, 16) not enough memory for 320 rows of 512 tokens")


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ((np.array([1, 2]),), "shape"),
        ((np.zeros((2, 0), int),), "shape"),
        ((np.ones((1, 10), int),), "10 tokens, but the model takes 9"),
        ((np.array([[1.0]]),), "float64"),
        ((np.array([[30]]),), "token_ids go from 30 to 30, not from 0 to 29"),
        ((np.array([[-1, 3]]),), "token_ids go from -1"),
        ((np.array([[1]]), np.array([[2]])), "segment_ids go from 2"),
        ((np.array([[1]]), np.array([[0, 0]])), "segment_ids have shape"),
    ],
)
def test_refuses_what_is_no_batch(checkpoint, device, inputs, reason):
    with pytest.raises(ValueError, match=reason):
        open_encoder(checkpoint)(*inputs)
    assert device.shapes == []


@pytest.mark.parametrize("positions", [[[2]], [[-1]], [[0], [0]], [[0.0]]])
def test_refuses_positions_outside_the_rows(checkpoint, device, positions):
    with pytest.raises(ValueError, match="positions"):
        open_masked_lm(checkpoint)(np.array([[1, 2]]), np.array(positions))


def test_inputs_may_be_int32_and_need_no_segments(checkpoint):
    tokens = np.array([[2, 7, 9]])
    expected = open_encoder(checkpoint)(tokens, np.zeros_like(tokens))
    np.testing.assert_array_equal(open_encoder(checkpoint)(tokens.astype("i4")), expected)
    assert expected.dtype == np.float32
    assert expected.shape == (1, 3, 12)


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_the_model_lacks_is_named(checkpoint, layer):
    with pytest.raises(ModelError, match=f"no layer {layer}: the model has 2"):
        open_encoder(checkpoint, layer=layer)


def test_a_model_without_a_head_predicts_no_tokens(random_model):
    config, weights = random_model("bert", mlm=False)
    with pytest.raises(ModelError, match="no masked-LM head"):
        open_masked_lm(Checkpoint(config, ["[PAD]"] * 30, weights, False, Path("nowhere")))


def test_positions_are_scored_and_only_those(checkpoint):
    tokens = np.array([[2, 7, 9, 3], [2, 4, 3, 0]])
    score = open_masked_lm(checkpoint)
    everywhere = score(tokens, np.array([[0, 1, 2, 3]] * 2))
    assert everywhere.shape == (2, 4, 30)
    some = score(tokens, np.array([[3, 1], [0, 0]]))
    np.testing.assert_allclose(some[0], everywhere[0, [3, 1]], atol=1e-5)
    np.testing.assert_allclose(some[1], everywhere[1, [0, 0]], atol=1e-5)


@pytest.mark.parametrize(
    ("runtime", "dtype", "opened"),
    [
        ("auto", "float32", "onnx"),
        ("auto", "int8", "onnx"),
        ("auto", "bfloat16", "tensorflow"),
        ("tensorflow", "float32", "tensorflow"),
    ],
)
def test_the_runtime_is_the_one_that_has_the_dtype(checkpoint, monkeypatch, runtime, dtype, opened):
    from nlpkit.bert import onnx_runtime, tf_runtime

    monkeypatch.setattr(onnx_runtime, "open_model", lambda *a, **more: pytest.fail("onnx", pytrace=False))
    monkeypatch.setattr(tf_runtime, "open_model", lambda *a, **more: pytest.fail("tensorflow", pytrace=False))
    with pytest.raises(pytest.fail.Exception, match=opened):
        open_encoder(checkpoint, runtime=runtime, dtype=dtype)


@pytest.mark.parametrize(("runtime", "dtype"), [("onnx", "float16"), ("tensorflow", "int8")])
def test_a_dtype_that_the_runtime_lacks_names_the_one_that_has_it(checkpoint, runtime, dtype):
    with pytest.raises(ModelError, match=dtype) as caught:
        open_encoder(checkpoint, runtime=runtime, dtype=dtype)
    assert "--runtime" in caught.value.hint


def test_a_gpu_that_is_not_there_is_a_missing_dependency(checkpoint):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(MissingDependencyError) as caught:
        open_encoder(checkpoint, device="gpu:0")
    assert "onnxruntime-gpu" in caught.value.hint
    with pytest.raises(ValueError, match="tpu"):
        open_encoder(checkpoint, device="tpu")


def test_int8_is_near_and_not_the_same(checkpoint):
    tokens = np.array([[2, 7, 9, 3]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exact = open_encoder(checkpoint)(tokens)
        rounded = open_encoder(checkpoint, dtype="int8")(tokens)
    error = np.abs(rounded - exact).mean() / np.abs(exact).mean()
    assert 1e-4 < error < 0.2
