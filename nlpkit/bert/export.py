"""Models as ONNX files, for other programs and for a quicker start of this one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from nlpkit.bert.encoder import GRAPH
from nlpkit.bert.graph import build_graph
from nlpkit.bert.graph_builder import Place, embedded, external
from nlpkit.errors import ModelError, OutputError
from nlpkit.models import MANIFEST, WEIGHTS, FileInfo, Manifest

if TYPE_CHECKING:
    from nlpkit.bert.checkpoint import Checkpoint

_MOST_BYTES = 2_000_000_000  # a protocol buffer ends at 2 GiB
_DTYPES = {"F16": "float16", "F32": "float32"}


def export_onnx(checkpoint: Checkpoint, out: Path, *, quantize: str | None = None) -> None:
    """Write a model as an ONNX file; the same model gives the same bytes.

    The graph has the inputs and outputs of `graph.build_graph`, with `logits` at `positions` if the model
    predicts tokens. The file holds the weights, with one exception: model.onnx in the model's own directory
    takes them from model.safetensors beside it. That directory's manifest then lists the graph, which
    ONNX Runtime opens from there on.

    Args:
        out: the file; replaced if it is there.
        quantize: `int8` stores and multiplies matrices as int8, and stores the rest as float16. Such a
            graph holds its weights in any place; a manifest says so in `training`.

    Raises:
        OutputError: the file cannot be written.
        ModelError: the weights are too large for one file.
        ValueError: another `quantize`.
    """
    if quantize not in (None, "int8"):
        raise ValueError(f"quantize is {quantize!r}, and only 'int8' is known")
    manifest = checkpoint.manifest
    is_own = manifest is not None and out.resolve() == (checkpoint.source / GRAPH).resolve()
    if quantize:
        place = embedded(checkpoint.weights, np.float16)
    elif is_own:
        place = _stored(checkpoint.source / WEIGHTS)
    else:
        if sum(array.nbytes for array in checkpoint.weights.values()) > _MOST_BYTES:
            raise ModelError(
                "the weights are larger than 2 GB, which one ONNX file cannot hold",
                hint=f"--quantize int8, or `nlpkit models import` and then -o FOLDER/{GRAPH}",
            )
        place = embedded(checkpoint.weights)
    predicts = checkpoint.has_mlm_head or checkpoint.config.is_causal
    model = build_graph(
        checkpoint.config, place, logits="positions" if predicts else None, quantize=bool(quantize)
    )
    data = model.SerializeToString(deterministic=True)
    if manifest is not None and is_own:
        _keep(checkpoint.source, manifest, data, quantize or "float32")
    else:
        _write(out, data)


def _stored(weights: Path) -> Place:
    """Weights that stay in a safetensors file: eight bytes, so many of JSON, then the numbers."""
    with weights.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))

    def place(name: str) -> TensorProto:
        tensor = header[name]
        start, end = tensor["data_offsets"]
        if tensor["dtype"] not in _DTYPES:
            raise ModelError(f"{weights}: {name} is {tensor['dtype']}, not one of {', '.join(_DTYPES)}")
        return external(
            name,
            _DTYPES[tensor["dtype"]],
            tuple(tensor["shape"]),
            location=weights.name,
            offset=8 + size + start,
            length=end - start,
        )

    return place


def _keep(folder: Path, manifest: Manifest, graph: bytes, kind: str) -> None:
    """Add the graph to a model directory, which is whole at any moment."""
    files = {name: info for name, info in manifest.files.items() if name != GRAPH}
    _write_manifest(folder, dataclasses.replace(manifest, files=files))
    _write(folder / GRAPH, graph)
    files[GRAPH] = FileInfo(len(graph), hashlib.sha256(graph).hexdigest())
    training = manifest.training | {GRAPH: kind}
    _write_manifest(folder, dataclasses.replace(manifest, files=files, training=training))


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    text = json.dumps(manifest.to_json(), ensure_ascii=False, indent=2)
    _write(folder / MANIFEST, f"{text}\n".encode())


def _write(path: Path, data: bytes) -> None:
    """Write beside the file and rename."""
    part = path.with_name(f".{path.name}.part")
    try:
        try:
            part.write_bytes(data)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror}") from error
