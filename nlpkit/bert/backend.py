"""The only door to TensorFlow, tf-keras and bert4keras.

bert4keras 0.11.5 was written for Keras 2. It runs on today's TensorFlow through tf-keras when two
environment variables are set before the import and its optimizers are given Keras' legacy base class.
TensorFlow takes seconds to import, so nothing is imported before the first call.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
import types
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nlpkit.bert.config import ModelConfig
from nlpkit.errors import MissingDependencyError, ModelError

FloatArray = npt.NDArray[np.float32]

DTYPES = ("float32", "bfloat16", "float16")
INSTALL_HINT = "pip install 'nlpkit[bert]' && pip install --no-deps bert4keras==0.11.5"


def start(
    device: str = "auto",
    dtype: str = "float32",
    *,
    threads: int | None = None,
    deterministic: bool = False,
) -> None:
    """Import TensorFlow and set it up for this process.

    Args:
        device: `auto` (a GPU where there is one), `cpu` or `gpu:N`.
        dtype: what layers compute in; weights stay float32.
        threads: CPU threads of one operation; None leaves it to TensorFlow. It only counts before
            the first computation of the process.
        deterministic: the same run gives the same bits, at some cost in speed.

    Raises:
        MissingDependencyError: a package or the device is absent.
    """
    tf = tensorflow()
    _choose_device(tf, device)
    if threads is not None:
        with suppress(RuntimeError):  # TensorFlow has begun to compute, with what it had
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    policy = dtype if dtype == "float32" else f"mixed_{dtype}"
    keras().mixed_precision.set_global_policy(policy)


@cache
def tensorflow() -> Any:
    """Import TensorFlow without its chatter, with Keras 2 behind `tf.keras`."""
    for package in ("tensorflow", "tf_keras", "bert4keras"):
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError(f"this needs {package}, which is not installed", hint=INSTALL_HINT)
    os.environ["TF_KERAS"] = "1"
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _offer_distutils()
    with _stderr_held_back():
        tf = importlib.import_module("tensorflow")
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    tf.get_logger().setLevel("ERROR")
    return tf


def keras() -> Any:
    """Return Keras 2: the `keras` that bert4keras and this package use."""
    return tensorflow().keras


@cache
def bert4keras(name: str) -> Any:
    """Import `bert4keras.NAME`, mended for today's TensorFlow."""
    tensorflow()
    _import_optimizers()
    return importlib.import_module(f"bert4keras.{name}")


def _choose_device(tf: Any, device: str) -> None:
    """Let TensorFlow see one GPU, or none."""
    gpus = tf.config.list_physical_devices("GPU")
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    elif device.startswith("gpu:"):
        number = int(device.removeprefix("gpu:"))
        if number >= len(gpus):
            raise MissingDependencyError(
                f"there is no {device}: TensorFlow sees {len(gpus)} GPUs",
                hint="--device auto, or nlpkit doctor",
            )
        tf.config.set_visible_devices(gpus[number], "GPU")


@contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Keep what C++ code writes to standard error, and show it only when the block fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _offer_distutils() -> None:
    """Give Python 3.12 and later the one function of distutils that bert4keras calls."""
    if importlib.util.find_spec("distutils") is not None:
        return
    util = types.ModuleType("distutils.util")
    util.strtobool = lambda text: int(text.lower() in ("1", "y", "yes", "t", "true", "on"))  # type: ignore[attr-defined]
    package = types.ModuleType("distutils")
    package.util = util  # type: ignore[attr-defined]
    sys.modules.update({"distutils": package, "distutils.util": util})


def _import_optimizers() -> None:
    """Import bert4keras' optimizers on the base class that they were written for."""
    if "bert4keras.optimizers" in sys.modules:
        return
    optimizers = keras().optimizers
    modern = optimizers.Optimizer
    optimizers.Optimizer = optimizers.legacy.Optimizer
    try:
        importlib.import_module("bert4keras.optimizers")
    finally:
        optimizers.Optimizer = modern
    # Weights never come from these initializers (see `fresh_weight`), and one unseeded initializer
    # shared by all layers would give them identical values and a warning.
    models = importlib.import_module("bert4keras.models")
    importlib.import_module("tf_keras.src.backend").RandomGenerator.dropout = _dropout
    models.Transformer.initializer = property(lambda _: "zeros")


@cache
def _dropout_seed() -> Any:
    """Return the variable that all dropout of the running batch is drawn from."""
    return tensorflow().Variable(0, dtype="int64", trainable=False, name="dropout_seed")


_dropouts = 0


def seed_dropout(seed: int) -> None:
    """Fix the dropout of the next batch, so that a resumed run drops the same units.

    Keras' own generator keeps a hidden counter which no checkpoint can hold.
    """
    _dropout_seed().assign(seed)


def number_dropouts() -> None:
    """Call this where a function that drops units begins, so that each dropout of it has a number."""
    global _dropouts
    _dropouts = 0


def _dropout(_: Any, inputs: Any, rate: float, noise_shape: Any = None) -> Any:
    """Stand for the dropout of Keras' random generator, drawing from the batch's seed."""
    global _dropouts
    _dropouts += 1
    tf = tensorflow()
    seed = tf.stack([_dropout_seed(), tf.constant(_dropouts, tf.int64)])
    return tf.nn.experimental.stateless_dropout(inputs, rate, seed, noise_shape=noise_shape)


class Transformer:
    """A bert4keras model whose weights go by their canonical names.

    Attributes:
        config: its sizes.
        model: the Keras model, token ids and segment ids (gpt2: token ids alone), each of shape
            (batch, length), to hidden states, shape (batch, length, hidden). Position 0 of the
            vocabulary is padding.
        layers: bert4keras' layers by name.
    """

    def __init__(self, config: ModelConfig, *, mlm: bool, pooler: bool) -> None:
        """Build the layers; `build` is the way to a model with weights."""
        if config.architecture == "nezha" and config.max_relative_position != 64:
            raise ModelError(
                f"bert4keras clips nezha's distances at 64, the model at {config.max_relative_position}",
                hint="ONNX Runtime can run it: --runtime onnx",
            )
        self.config = config
        arguments = config.to_json()
        head_sizes = {"attention_key_size": config.key_size, "attention_head_size": config.head_size}
        heads = {} if config.is_causal else {"with_pool": pooler, "with_mlm": "linear" if mlm else False}
        causal = {"final_activation": "linear"} if config.is_causal else {}
        bert = bert4keras("models").build_transformer_model(
            model=config.architecture,
            return_keras_model=False,
            **(arguments | {"hidden_act": _activation(config.hidden_act)} | head_sizes | heads | causal),
        )
        self.layers: dict[str, Any] = bert.layers
        self.model = keras().Model(bert.model.inputs, self._last_hidden(bert))
        self.full_model = bert.model
        self._mapping = {
            name: variable
            for layer, names in bert.variable_mapping().items()
            if layer in bert.layers
            for name, variable in zip(names, bert.layers[layer].trainable_weights, strict=False)
        }

    def _last_hidden(self, bert: Any) -> Any:
        """Return the Keras tensor that leaves the last layer."""
        if self.config.architecture == "gpt2":
            return self.layers["Output-Norm"].output
        last = self.config.num_hidden_layers - 1
        if self.config.architecture == "albert":
            return self.layers["Transformer-FeedForward-Norm"].get_output_at(last)
        return self.layers[f"Transformer-{last}-FeedForward-Norm"].output

    @property
    def variables(self) -> dict[str, Any]:
        """The trainable tf.Variables by canonical name."""
        return dict(self._mapping)

    def weights(self) -> dict[str, FloatArray]:
        """Copy every weight out, by canonical name."""
        return {name: variable.numpy() for name, variable in self._mapping.items()}

    def load(self, weights: Mapping[str, FloatArray]) -> None:
        """Set every weight.

        Raises:
            ModelError: a weight is missing or has another shape.
        """
        for name, variable in self._mapping.items():
            if name not in weights:
                raise ModelError(f"the model has no weight {name}")
            shape, needed = weights[name].shape, tuple(variable.shape)
            if shape != needed:
                raise ModelError(f"the weight {name} has shape {shape}, but {needed} is needed")
            variable.assign(weights[name])

    def mlm_logits(self, hidden: Any, entries: Any = None) -> Any:
        """Score the vocabulary, or some entries of it.

        Args:
            hidden: the last hidden states of some positions, shape (..., hidden).
            entries: token ids, shape (n,); None is all of them.

        Returns:
            Shape (..., vocab_size) or (..., n), in the dtype of the layers.
        """
        x = self.layers["MLM-Norm"](self.layers["MLM-Dense"](hidden))
        if entries is None:
            return self.layers["MLM-Bias"](self.layers["Embedding-Token"](x, mode="dense"))
        tf = tensorflow()
        embeddings = tf.gather(self.variables["bert/embeddings/word_embeddings"], entries)
        bias = tf.gather(self.variables["cls/predictions/output_bias"], entries)
        return tf.matmul(x, tf.cast(embeddings, x.dtype), transpose_b=True) + tf.cast(bias, x.dtype)


def build(
    config: ModelConfig,
    weights: Mapping[str, FloatArray] | None = None,
    *,
    mlm: bool = False,
    pooler: bool = False,
    seed: int = 0,
) -> Transformer:
    """Build a model with the given weights, or with fresh ones drawn from the seed.

    Raises:
        ModelError: a weight is missing or has another shape.
        MissingDependencyError: TensorFlow or bert4keras is absent.
    """
    transformer = Transformer(config, mlm=mlm, pooler=pooler)
    if weights is None:
        shapes = {name: tuple(variable.shape) for name, variable in transformer.variables.items()}
        weights = {name: fresh_weight(name, shape, config, seed) for name, shape in shapes.items()}
    transformer.load(weights)
    return transformer


def fresh_weight(name: str, shape: tuple[int, ...], config: ModelConfig, seed: int) -> FloatArray:
    """Draw an untrained weight: truncated normal for matrices, 1 for gamma, 0 for every bias.

    Each weight has a random stream of its own. bert4keras shares one unseeded initializer among all
    layers, which then start as copies of each other: the heads of a model would never come apart.
    """
    if len(shape) == 1:
        return np.full(shape, 1.0 if name.endswith("gamma") else 0.0, np.float32)
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    normal = random.standard_normal(shape, np.float32)
    while (far := np.abs(normal) > 2).any():
        normal[far] = random.standard_normal(int(far.sum()), np.float32)
    return normal * np.float32(config.initializer_range)


def _activation(name: str) -> Any:
    """Return the Keras activation of a config's `hidden_act`.

    The erf in 16 bits is several times slower on a CPU than in 32, and its gradient more so.
    """
    if name == "relu":
        return "relu"
    tf = tensorflow()

    def gelu(x: Any) -> Any:
        return tf.cast(tf.nn.gelu(tf.cast(x, tf.float32), approximate=name == "gelu_tanh"), x.dtype)

    return gelu
