"""Models on ONNX Runtime: the graph of their folder where it has one, else one made in memory.

Import this module inside functions: ONNX Runtime takes .1 s.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from nlpkit.bert.encoder import GRAPH
from nlpkit.errors import MissingDependencyError, ModelError
from nlpkit.memory import default_threads

if TYPE_CHECKING:
    from nlpkit.bert.checkpoint import Checkpoint

IntArray = npt.NDArray[np.integer]
FloatArray = npt.NDArray[np.float32]

_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_CUDA_HINT = "--device cpu, or pip uninstall -y onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]'"
_OUT_OF_MEMORY = re.compile("failed to allocate|bad_alloc|out of memory", re.IGNORECASE)


class OnnxModel:
    """A graph with the inputs and outputs that `graph.build_graph` gives it; other outputs may be added."""

    def __init__(
        self,
        graph: Path | bytes,
        weights: dict[str, FloatArray] | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        """Open a graph.

        Args:
            graph: a file, or a serialised model.
            weights: what the graph declares as external, by name; not copied. None: there is no such
                weight, or it lies in a file beside the graph's.
            device: `auto` (a GPU where there is one), `cpu` or `gpu:N`.
            threads: CPU threads of one operation; None is one for each core.

        Raises:
            ModelError: the graph, or a file that it needs, is missing or damaged.
            MissingDependencyError: the device is absent.
        """
        onnxruntime.set_default_logger_severity(4)  # what is logged is raised too
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or default_threads()
        if weights:
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
            options.add_external_initializers(list(weights), values)
        self._weights = weights  # the session uses their memory
        self._session = _session(graph, options, device)
        self._inputs = {item.name for item in self._session.get_inputs()}
        self.outputs = [item.name for item in self._session.get_outputs()]

    def run(self, output: str, **inputs: IntArray) -> FloatArray:
        """Compute one output; inputs that the graph does not have are left out.

        Raises:
            MemoryError: the device has not enough for this batch.
        """
        feeds = {name: np.asarray(array, np.int64) for name, array in inputs.items() if name in self._inputs}
        if "positions" in self._inputs:  # none are asked for
            feeds.setdefault("positions", np.zeros((len(feeds["token_ids"]), 0), np.int64))
        try:
            result: FloatArray = self._session.run([output], feeds)[0]
        except Exception as error:  # ONNX Runtime has no common base class of its errors
            if _OUT_OF_MEMORY.search(str(error)):
                raise MemoryError(str(error)) from error
            raise
        return result


def open_model(
    checkpoint: Checkpoint,
    *,
    logits: bool = False,
    layer: int = -1,
    quantize: bool = False,
    device: str = "auto",
    threads: int | None = None,
) -> OnnxModel:
    """Open a model as a graph with the output `hidden`, and `logits` at `positions` if asked for.

    The folder's own graph is taken, which may be an int8 one, if it gives what is asked for.

    Args:
        quantize: round the weights to int8, and pass over the folder's graph.

    Raises:
        ModelError: the graph of the folder is damaged.
        MissingDependencyError: the device is absent.
    """
    is_last = layer in (-1, checkpoint.config.num_hidden_layers)
    if checkpoint.manifest and GRAPH in checkpoint.manifest.files and is_last and not quantize:
        model = OnnxModel(checkpoint.source / GRAPH, device=device, threads=threads)
        if ("logits" if logits else "hidden") in model.outputs:
            return model
    from nlpkit.bert.graph import build_graph
    from nlpkit.bert.graph_builder import embedded, external

    used: dict[str, FloatArray] = {}

    def place(name: str) -> Any:
        used[name] = np.ascontiguousarray(checkpoint.weights[name], np.float32)
        return external(name, "float32", used[name].shape, location="memory")

    graph = build_graph(
        checkpoint.config,
        embedded(checkpoint.weights, np.float16) if quantize else place,
        layer=layer,
        logits="positions" if logits else None,
        quantize=quantize,
    )
    return OnnxModel(graph.SerializeToString(), used, device=device, threads=threads)


def _session(graph: Path | bytes, options: Any, device: str) -> Any:
    name = str(graph) if isinstance(graph, Path) else "the model"
    source = str(graph) if isinstance(graph, Path) else graph
    providers = _providers(device)
    try:
        session = onnxruntime.InferenceSession(source, options, providers=providers)
    except Exception as error:  # as in `run`
        cause = str(error).strip().splitlines()[0].removeprefix("[ONNXRuntimeError] : ")
        if "CUDA" in cause:
            raise MissingDependencyError(f"{device} cannot be used: {cause}", hint=_CUDA_HINT) from error
        raise ModelError(
            f"{name}: ONNX Runtime cannot open it: {cause}",
            hint="get the model again, or export it again with `nlpkit models export`",
        ) from error
    if device.startswith("gpu:") and _CUDA not in session.get_providers():
        raise MissingDependencyError(f"{device} cannot be used: CUDA does not start", hint=_CUDA_HINT)
    return session


def _providers(device: str) -> list[Any]:
    has_cuda = _CUDA in onnxruntime.get_available_providers()
    if device == "cpu" or (device == "auto" and not has_cuda):
        return [_CPU]
    number = 0 if device == "auto" else int(device.removeprefix("gpu:"))
    if not has_cuda:
        raise MissingDependencyError("this ONNX Runtime has no CUDA", hint=_CUDA_HINT)
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # CUDA's libraries where pip put them
    return [(_CUDA, {"device_id": number}), _CPU]
