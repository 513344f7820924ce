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

_BUCKET = 16  # tokens; XLA compiles once for each length that is a multiple


class TensorFlowModel:
    """A function of TensorFlow, traced once for all shapes."""

    def __init__(
        self,
        function: Callable[..., Any],
        inputs: tuple[str, ...],
        *,
        xla: bool = False,
        max_length: int | None = None,
    ) -> None:
        """Trace a function of int32 tensors of two dimensions, which go by these names.

        Args:
            xla: compile it, anew for each shape; rows are padded to buckets of length, so that there are few.
            max_length: the longest row that the model takes.
        """
        tf = backend.tensorflow()
        signature = [tf.TensorSpec((None, None), tf.int32, name) for name in inputs]
        self._function = tf.function(function, input_signature=signature, jit_compile=xla or None)
        self._inputs = inputs
        self._bucket = _BUCKET if xla else 1
        self._max_length = max_length

    def run(self, output: str, **inputs: IntArray) -> FloatArray:
        """Compute the one output that it has; inputs that it does not have are left out.

        Raises:
            MemoryError: the device has not enough for this batch.
        """
        tf = backend.tensorflow()
        length = inputs["token_ids"].shape[1]
        width = -(-length // self._bucket) * self._bucket
        padding = ((0, 0), (0, min(width, self._max_length or width) - length))
        padded = {n: a if n == "positions" else np.pad(a, padding) for n, a in inputs.items()}
        try:
            result: FloatArray = self._function(
                *(tf.constant(padded[name], tf.int32) for name in self._inputs)
            ).numpy()
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(str(error)) from error
        return result[:, :length] if output == "hidden" else result


def open_model(
    checkpoint: Checkpoint,
    *,
    logits: bool = False,
    layer: int = -1,
    dtype: str = "float32",
    device: str = "auto",
    threads: int | None = None,
    xla: bool = False,
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

    function, inputs = (scores, (*names, "positions")) if logits else (hidden, names)
    return TensorFlowModel(function, inputs, xla=xla, max_length=config.max_length)


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
