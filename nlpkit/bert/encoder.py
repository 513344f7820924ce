"""What pipelines know of a model: token ids in, hidden states or scores out, whatever runs it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from nlpkit.errors import ModelError

if TYPE_CHECKING:
    from nlpkit.bert.checkpoint import Checkpoint
    from nlpkit.bert.config import ModelConfig

IntArray = npt.NDArray[np.integer]
FloatArray = npt.NDArray[np.float32]
Runtime = Literal["auto", "onnx", "tensorflow"]
Dtype = Literal["float32", "bfloat16", "float16", "int8"]
Report = Callable[[str], None]

GRAPH = "model.onnx"  # in a model directory
_ONNX_DTYPES = ("float32", "int8")


class Encoder(Protocol):
    """Gives the hidden states of every position."""

    def __call__(self, token_ids: IntArray, segment_ids: IntArray | None = None) -> FloatArray:
        """Encode a batch.

        Args:
            token_ids: shape (batch, length); 0 is padding, which no other position sees.
            segment_ids: same shape; None is 0 everywhere. gpt2 has none and takes no notice.

        Returns:
            Shape (batch, length, hidden_size); what stands at padding means nothing.

        Raises:
            ValueError: shapes or ids that the model does not take, or a row longer than it takes.
            ModelError: not even one row fits the device's memory.
        """
        ...


class MaskedLM(Protocol):
    """Scores the vocabulary at some positions: for the token there, or for the next (gpt, gpt2)."""

    def __call__(self, token_ids: IntArray, positions: IntArray) -> FloatArray:
        """Score a batch.

        Args:
            token_ids: as Encoder, with [MASK] where a token is to be guessed.
            positions: shape (batch, k), from 0.

        Returns:
            Logits, shape (batch, k, vocab_size).

        Raises:
            ValueError: as Encoder, or a position outside the row.
            ModelError: as Encoder.
        """
        ...


def open_encoder(
    checkpoint: Checkpoint,
    *,
    runtime: Runtime = "auto",
    device: str = "auto",
    dtype: Dtype = "float32",
    layer: int = -1,
    threads: int | None = None,
    xla: bool = False,
    report: Report | None = None,
) -> Encoder:
    """Open a model as an encoder.

    Args:
        runtime: `auto` is ONNX Runtime where it computes in this dtype, else TensorFlow.
        device: `auto` (a GPU where there is one), `cpu` or `gpu:N`.
        dtype: float32 and int8 on ONNX Runtime; float32, bfloat16 and float16 on TensorFlow. If the
            folder of the model has a graph, float32 takes that, though it may be an int8 one. In int8
            the numbers of a row depend a little on the other rows of its batch.
        layer: which of the num_hidden_layers + 1 hidden states: 0 is the embedding, -1 the last one.
            gpt2's last one is normalised.
        threads: CPU threads; None is one for each core.
        xla: compile the model on TensorFlow: seconds for each length of rows in sixteens and for each number
            of rows, then about a tenth faster. ONNX Runtime takes no notice.
        report: told when a batch was too large for the device's memory; None warns.

    Raises:
        ModelError: no such layer, no such dtype on this runtime, or a damaged graph.
        MissingDependencyError: the runtime or the device is absent.
    """
    if not -checkpoint.config.num_hidden_layers - 1 <= layer <= checkpoint.config.num_hidden_layers:
        raise ModelError(f"no layer {layer}: the model has {checkpoint.config.num_hidden_layers}")
    batches = _Batches(
        checkpoint, runtime, dtype, report, layer=layer, device=device, threads=threads, xla=xla
    )

    def encode(token_ids: IntArray, segment_ids: IntArray | None = None) -> FloatArray:
        return batches.run("hidden", token_ids, segment_ids)

    return encode


def open_masked_lm(
    checkpoint: Checkpoint,
    *,
    runtime: Runtime = "auto",
    device: str = "auto",
    dtype: Dtype = "float32",
    threads: int | None = None,
    xla: bool = False,
    report: Report | None = None,
) -> MaskedLM:
    """Open a model that scores the vocabulary; arguments and errors as in `open_encoder`.

    Raises:
        ModelError: as `open_encoder`, or the model has no masked-LM head.
        MissingDependencyError: as `open_encoder`.
    """
    if not (checkpoint.has_mlm_head or checkpoint.config.is_causal):
        raise ModelError(
            f"{checkpoint.source}: the model does not predict tokens: it has no masked-LM head",
            hint="`nlpkit train mlm` makes a model that does",
        )
    batches = _Batches(
        checkpoint, runtime, dtype, report, logits=True, device=device, threads=threads, xla=xla
    )

    def score(token_ids: IntArray, positions: IntArray) -> FloatArray:
        return batches.run("logits", token_ids, None, positions)

    return score


class _Model(Protocol):
    """What both runtimes offer."""

    def run(self, output: str, **inputs: IntArray) -> FloatArray:
        """Compute `hidden` or `logits`; MemoryError says that a smaller batch may fit."""
        ...


class _Batches:
    """A model, run on batches that were checked, in parts where memory does not suffice for the whole."""

    def __init__(
        self, checkpoint: Checkpoint, runtime: Runtime, dtype: Dtype, report: Report | None, **options: Any
    ) -> None:
        self._config = checkpoint.config
        self._model: _Model = _open(checkpoint, runtime, dtype, **options)
        self._report = report or partial(warnings.warn, category=RuntimeWarning, stacklevel=4)
        self._most_tokens = sys.maxsize

    def run(
        self,
        output: str,
        token_ids: IntArray,
        segment_ids: IntArray | None,
        positions: IntArray | None = None,
    ) -> FloatArray:
        inputs = {
            "token_ids": token_ids,
            "segment_ids": np.zeros_like(token_ids) if segment_ids is None else segment_ids,
        }
        if positions is not None:
            inputs["positions"] = positions
        _check(self._config, inputs)
        return self._run(output, inputs)

    def _run(self, output: str, inputs: dict[str, IntArray]) -> FloatArray:
        rows, length = inputs["token_ids"].shape
        most_rows = max(1, self._most_tokens // length)
        if rows > most_rows:
            starts = range(0, rows, most_rows)
            parts = ({name: a[i : i + most_rows] for name, a in inputs.items()} for i in starts)
            return np.concatenate([self._run(output, part) for part in parts])
        try:
            return self._model.run(output, **inputs)
        except MemoryError as error:
            if rows < 2:
                raise ModelError(
                    f"there is not enough memory for a row of {length} tokens",
                    hint="shorter rows, a smaller model, or --device cpu",
                ) from error
            self._most_tokens = rows // 2 * length
            self._report(f"not enough memory for {rows} rows of {length} tokens: going on with {rows // 2}")
        return self._run(output, inputs)


def _open(checkpoint: Checkpoint, runtime: Runtime, dtype: Dtype, *, xla: bool, **options: Any) -> _Model:
    """Open a model on the runtime that was asked for, or that has the dtype."""
    if runtime == "onnx" or (runtime == "auto" and dtype in _ONNX_DTYPES):
        if dtype not in _ONNX_DTYPES:
            raise ModelError(f"ONNX Runtime does not compute in {dtype}", hint="--runtime tensorflow does")
        from nlpkit.bert import onnx_runtime

        return onnx_runtime.open_model(checkpoint, quantize=dtype == "int8", **options)
    if dtype == "int8":
        raise ModelError("TensorFlow does not compute in int8", hint="--runtime onnx does")
    from nlpkit.bert import tf_runtime

    return tf_runtime.open_model(checkpoint, dtype=dtype, xla=xla, **options)


def _check(config: ModelConfig, inputs: Mapping[str, IntArray]) -> None:
    """Refuse what a model would read past its tables for."""
    token_ids = inputs["token_ids"]
    if token_ids.ndim != 2 or not token_ids.shape[1]:
        raise ValueError(f"token_ids have shape {token_ids.shape}, which is not (batch, length)")
    rows, length = token_ids.shape
    if config.max_length is not None and length > config.max_length:
        raise ValueError(f"rows of {length} tokens, but the model takes {config.max_length}")
    if inputs["segment_ids"].shape != token_ids.shape:
        raise ValueError(f"segment_ids have shape {inputs['segment_ids'].shape}, not {token_ids.shape}")
    ends = {
        "token_ids": config.vocab_size,
        "segment_ids": max(1, config.type_vocab_size),
        "positions": length,
    }
    for name, array in inputs.items():
        if not np.issubdtype(array.dtype, np.integer):
            raise ValueError(f"{name} are {array.dtype}, not integers")
        if len(array) != rows:
            raise ValueError(f"{name} have {len(array)} rows, not {rows}")
        if array.size and not 0 <= array.min() <= array.max() < ends[name]:
            raise ValueError(f"{name} go from {array.min()} to {array.max()}, not from 0 to {ends[name] - 1}")
