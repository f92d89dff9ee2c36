"""An ONNX graph as it grows: nodes with names of their own, constants kept once, typed inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

ROWS = "rows"
"""The name of the one dimension that is not fixed."""
OPSET = 18
ML_OPSET = 5
ML_OPSET_WITHOUT_TREES = 3
IR_VERSION = 10
TREES = "TreeEnsemble"

Attribute = Any
"""A number, a text, a list of either, or an array, which becomes a tensor."""


class Graph:
    """Nodes in order, and the values they pass on by name."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[Any, ...], str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._taken: set[str] = set()

    def input(self, name: str, kind: int, shape: Sequence[int], note: str) -> str:
        """An input [rows, *shape] of an ONNX element type; the same name twice is one input."""
        if name not in self._taken:
            self._taken.add(name)
            self._inputs.append(helper.make_tensor_value_info(name, kind, [ROWS, *shape], doc_string=note))
        return name

    def output(self, name: str, value: str, kind: int, shape: Sequence[int], note: str) -> str:
        """A value as an output [rows, *shape]; a name that a column has already gets an underscore."""
        name = self._free(name, "_")
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, kind, [ROWS, *shape], doc_string=note))
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Attribute) -> str:
        """A node with one output, whose name is returned. An input that is left out is the empty name."""
        return self.add_many(operator, *inputs, outputs=1, domain=domain, **attributes)[0]

    def add_many(
        self, operator: str, *inputs: str, outputs: int, domain: str = "", **attributes: Attribute
    ) -> list[str]:
        """A node with several outputs."""
        names = [self._free(f"{operator}_{len(self._nodes)}", "_") for _ in range(outputs)]
        given = {
            key: numpy_helper.from_array(value, key) if isinstance(value, np.ndarray) else value
            for key, value in attributes.items()
        }
        self._nodes.append(helper.make_node(operator, inputs, names, domain=domain, **given))
        return names

    def constant(self, value: NDArray[Any] | Sequence[Any] | float, dtype: Any = None) -> str:
        """An array as a value; equal ones are kept once."""
        array = np.array(value, dtype=dtype, order="C")
        content = tuple(array.ravel()) if array.dtype.kind in "OU" else array.tobytes()
        key = (array.dtype.str, array.shape, content)
        if key not in self._constants:
            name = self._free(f"constant_{len(self._constants)}", "_")
            self._initializers.append(numpy_helper.from_array(array, name))
            self._constants[key] = name
        return self._constants[key]

    def integers(self, *values: int) -> str:
        """A constant list of integers, as shapes and axes are given."""
        return self.constant(np.array(values, dtype=np.int64))

    def cast(self, value: str, kind: int) -> str:
        """The value as another element type."""
        return self.add("Cast", value, to=kind)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(i.name for i in self._inputs)

    def model(self, name: str, note: str, properties: Mapping[str, str]) -> onnx.ModelProto:
        """The finished model, checked; nodes and constants that no output needs are left out."""
        nodes, used = [], {o.name for o in self._outputs}
        for node in reversed(self._nodes):
            if used.intersection(node.output):
                nodes.append(node)
                used.update(node.input)
        ml = ML_OPSET if any(n.op_type == TREES for n in nodes) else ML_OPSET_WITHOUT_TREES
        graph = helper.make_graph(
            nodes[::-1],
            name,
            self._inputs,
            self._outputs,
            [tensor for tensor in self._initializers if tensor.name in used],
            doc_string=note,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ml)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="equipoise")
        helper.set_model_props(model, dict(properties))
        onnx.checker.check_model(model)
        return model

    def _free(self, name: str, suffix: str) -> str:
        while name in self._taken:
            name += suffix
        self._taken.add(name)
        return name
