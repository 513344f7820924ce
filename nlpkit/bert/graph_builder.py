"""Writing an ONNX graph: operators, weights however they are stored, and what heads are made of.

Import this module inside functions: the `onnx` package alone takes .2 s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Place = Callable[[str], TensorProto]  # where the weight of a name is stored

OPSET = 20  # the first with Gelu; ONNX Runtime 1.17 has it
_IR_VERSION = 9  # of the same time
# Two products of a uint8 with these fit 16 bits. Processors without VNNI add them there, and would
# otherwise cut the sum off: results would depend on the machine.
_LARGEST_INT8 = 64
_LEAST_ROW = 0.2  # the least value of GELU is -.17: no row is scaled up beyond [-1, 1]


def embedded(weights: Mapping[str, npt.NDArray[Any]], dtype: npt.DTypeLike = np.float32) -> Place:
    """Store weights in the graph itself, which then may not exceed 2 GB."""
    return lambda name: numpy_helper.from_array(np.asarray(weights[name], dtype), name)


def external(name: str, dtype: str, shape: tuple[int, ...], **location: object) -> TensorProto:
    """Store no more than the place of a weight.

    Args:
        dtype: numpy's name of it, float32 or float16.
        location: `location` (a file beside the graph), `offset` and `length` (in bytes).
    """
    tensor = TensorProto(name=name, dims=shape, data_location=TensorProto.EXTERNAL)
    tensor.data_type = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    for key, value in location.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


class GraphBuilder:
    """A graph in the making, whose tensors go by their names.

    A weight is a float32 tensor to whoever asks for it, however it is stored.
    """

    def __init__(self, place: Place, *, quantize: bool = False) -> None:
        """Start with nothing.

        Args:
            place: gives the tensor of a weight; `embedded` makes one.
            quantize: matrices and the token embedding become int8; `place` must give values.
        """
        self._place = place
        self._quantize = quantize
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._casts: dict[str, str] = {}

    def model(self) -> onnx.ModelProto:
        """Finish the graph."""
        weights = list(self._initializers.values())
        graph = helper.make_graph(self._nodes, "nlpkit", self._inputs, self._outputs, weights)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="nlpkit")

    def input(self, name: str, *dims: str | int) -> str:
        """Take an int64 tensor; a dimension is a size, or a name for any size."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.INT64, dims))
        return name

    def output(self, name: str, tensor: str, *dims: str | int) -> None:
        """Give a float32 tensor out under a name."""
        self._nodes.append(helper.make_node("Identity", [tensor], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append an operator and return its first output."""
        return self._append(operator, inputs, 1, attributes)[0]

    def _append(
        self, operator: str, inputs: tuple[str, ...], num_outputs: int, attributes: Mapping[str, Any]
    ) -> list[str]:
        outputs = [f"{operator}_{len(self._nodes)}_{i}" for i in range(num_outputs)]
        self._nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.int64) -> str:
        """Return a tensor with a fixed value."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = name = f"constant_{len(self._constants)}"
            self._initializers[name] = numpy_helper.from_array(array, name)
        return self._constants[key]

    def weight(self, name: str) -> str:
        """Return a weight as float32."""
        if name in self._casts:
            return self._casts[name]
        if name not in self._initializers:
            self._initializers[name] = self._place(name)
        if self._initializers[name].data_type == TensorProto.FLOAT:
            return name
        self._casts[name] = self.to_float(name)
        return self._casts[name]

    def to_float(self, x: str) -> str:
        """Convert to float32."""
        return self.add("Cast", x, to=TensorProto.FLOAT)

    def matmul(self, x: str, name: str, *, transposed: bool = False) -> str:
        """Multiply by the matrix of a name, or by its transpose."""
        if self._quantize:
            return self._int8_matmul(x, name, transposed)
        weight = self.weight(name)
        return self.add("MatMul", x, self.add("Transpose", weight, perm=[1, 0]) if transposed else weight)

    def _int8_matmul(self, x: str, name: str, transposed: bool) -> str:
        """As `matmul`; x becomes uint8 with one step for all of it, found at run time."""
        weight, step = self._int8(name, int(transposed))
        if transposed:
            weight = self.add("Transpose", weight, perm=[1, 0])
        rounded, x_step, zero = self._append("DynamicQuantizeLinear", (x,), 3, {})
        product = self.to_float(self.add("MatMulInteger", rounded, weight, zero))
        return self.add("Mul", product, self.add("Mul", x_step, step))

    def _int8(self, name: str, axis: int) -> tuple[str, str]:
        """Return a matrix as int8, and what 1 stands for in each column (axis 0) or row (axis 1)."""
        values, steps = f"{name}.int8", f"{name}.step"
        if values not in self._initializers:
            exact = numpy_helper.to_array(self._place(name)).astype(np.float32)
            largest = np.maximum(np.abs(exact).max(axis, keepdims=True), np.finfo(np.float32).tiny)
            step = largest / np.float32(_LARGEST_INT8)
            rounded = np.round(exact / step).astype(np.int8)
            self._initializers[values] = numpy_helper.from_array(rounded, values)
            self._initializers[steps] = numpy_helper.from_array(step.squeeze(axis), steps)
        return values, steps

    def linear(self, x: str, name: str) -> str:
        """Multiply by `name/kernel` and add `name/bias`."""
        return self.add("Add", self.matmul(x, f"{name}/kernel"), self.weight(f"{name}/bias"))

    def uneven_linear(self, x: str, name: str) -> str:
        """As `linear`, for an x whose rows differ much in size, as they do after an activation.

        Rounded with one step, the small rows would suffer. So int8 first brings them to one size.
        """
        if not self._quantize:
            return self.linear(x, name)
        largest = self.add("ReduceMax", x, self.constant([-1]), keepdims=1)
        size = self.add("Max", largest, self.constant(_LEAST_ROW, np.float32))
        product = self.add("Mul", self.matmul(self.add("Div", x, size), f"{name}/kernel"), size)
        return self.add("Add", product, self.weight(f"{name}/bias"))

    def rows(self, name: str, indices: str) -> str:
        """Look rows of an embedding up."""
        return self.add("Gather", self.weight(name), indices)

    def token_rows(self, name: str, token_ids: str) -> str:
        """As `rows`, for the large embedding that may be int8."""
        if not self._quantize:
            return self.rows(name, token_ids)
        values, steps = self._int8(name, 1)
        step = self.add("Unsqueeze", self.add("Gather", steps, token_ids), self.constant([-1]))
        return self.add("Mul", self.to_float(self.add("Gather", values, token_ids)), step)

    def layer_norm(self, x: str, name: str, epsilon: float) -> str:
        """Normalise the last axis, with `name/gamma` and `name/beta`."""
        gamma, beta = self.weight(f"{name}/gamma"), self.weight(f"{name}/beta")
        return self.add("LayerNormalization", x, gamma, beta, epsilon=epsilon)

    def activation(self, x: str, kind: str) -> str:
        """Apply a config's `hidden_act`."""
        if kind == "relu":
            return self.add("Relu", x)
        return self.add("Gelu", x, approximate="tanh" if kind == "gelu_tanh" else "none")

    def split_heads(self, x: str, heads: int, size: int) -> str:
        """Turn (batch, length, heads * size) into (batch, heads, length, size)."""
        parts = self.add("Reshape", x, self.constant([0, 0, heads, size]))
        return self.add("Transpose", parts, perm=[0, 2, 1, 3])

    def join_heads(self, x: str, width: int) -> str:
        """Undo `split_heads`; width is heads * size."""
        parts = self.add("Transpose", x, perm=[0, 2, 1, 3])
        return self.add("Reshape", parts, self.constant([0, 0, width]))

    def places(self, token_ids: str) -> str:
        """Return 0, 1, 2, ... for each position of (batch, length)."""
        length = self.add("Squeeze", self.add("Shape", token_ids, start=1, end=2), self.constant([0]))
        return self.add("Range", self.constant(0), length, self.constant(1))

    def vectors_at(self, x: str, positions: str) -> str:
        """Pick (batch, k, hidden) of (batch, length, hidden) by positions, (batch, k)."""
        indices = self.add("Unsqueeze", positions, self.constant([-1]))
        return self.add("GatherND", x, indices, batch_dims=1)
