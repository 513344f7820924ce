"""Models on TensorFlow, as bert4keras builds them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nlpkit.bert import backend

if TYPE_CHECKING:
    from nlpkit.bert.checkpoint import Checkpoint

IntArray = npt.NDArray[np.integer]
FloatArray = npt.NDArray[np.float32]


class TensorFlowModel:
    """A function of TensorFlow, traced once for all shapes."""

    def __init__(self, function: Callable[..., Any], inputs: tuple[str, ...]) -> None:
        """Trace a function of int32 tensors of two dimensions, which go by these names."""
        tf = backend.tensorflow()
        signature = [tf.TensorSpec((None, None), tf.int32, name) for name in inputs]
        self._function = tf.function(function, input_signature=signature)
        self._inputs = inputs

    def run(self, output: str, **inputs: IntArray) -> FloatArray:
        """Compute the one output that it has; inputs that it does not have are left out.

        Raises:
            MemoryError: the device has not enough for this batch.
        """
        tf = backend.tensorflow()
        try:
            result: FloatArray = self._function(
                *(tf.constant(inputs[name], tf.int32) for name in self._inputs)
            ).numpy()
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(str(error)) from error
        return result


def open_model(
    checkpoint: Checkpoint,
    *,
    logits: bool = False,
    layer: int = -1,
    dtype: str = "float32",
    device: str = "auto",
    threads: int | None = None,
) -> TensorFlowModel:
    """Open a model for its hidden states, or for `logits` at `positions`.

    Raises:
        MissingDependencyError: TensorFlow, bert4keras or the device is absent.
    """
    backend.start(device, dtype, threads=threads)
    tf = backend.tensorflow()
    config = checkpoint.config
    transformer = backend.build(config, checkpoint.weights, mlm=logits and not config.is_causal)
    for part in transformer.full_model.submodules:
        if isinstance(part, backend.keras().layers.Dense):
            part.call = partial(_dense, part)
    names = ("token_ids", "segment_ids")[: len(transformer.model.inputs)]
    model = backend.keras().Model(transformer.model.inputs, _hidden(transformer, layer))

    def hidden(*inputs: Any) -> Any:
        return tf.cast(model(list(inputs), training=False), tf.float32)

    def scores(*inputs: Any) -> Any:
        x = tf.gather(model(list(inputs[:-1]), training=False), inputs[-1], batch_dims=1)
        if config.is_causal:
            return tf.cast(transformer.layers["Embedding-Token"](x, mode="dense"), tf.float32)
        return tf.cast(transformer.mlm_logits(x), tf.float32)

    return TensorFlowModel(scores, (*names, "positions")) if logits else TensorFlowModel(hidden, names)


def _dense(layer: Any, x: Any) -> Any:
    """Compute a dense layer over all positions at once.

    Keras keeps the batch apart, and TensorFlow then cannot join bias and activation to the product: 4 %.
    """
    tf = backend.tensorflow()
    x = tf.cast(x, layer.compute_dtype)
    rows = tf.matmul(tf.reshape(x, (-1, x.shape[-1])), layer.kernel)
    rows = layer.activation(tf.nn.bias_add(rows, layer.bias))
    return tf.reshape(rows, tf.concat([tf.shape(x)[:-1], [layer.units]], axis=0))


def _hidden(transformer: backend.Transformer, layer: int) -> Any:
    """Return the Keras tensor of a layer: what goes into the next one."""
    config, layers = transformer.config, transformer.layers
    depth = range(config.num_hidden_layers + 1)[layer]
    if depth == config.num_hidden_layers:
        return transformer.model.output
    if config.architecture == "gpt2":
        return layers[f"Transformer-{depth}-MultiHeadSelfAttention-Norm"].input
    if config.architecture == "albert":
        return layers["Transformer-MultiHeadSelfAttention"].get_input_at(depth)[0]
    return layers[f"Transformer-{depth}-MultiHeadSelfAttention"].input[0]
