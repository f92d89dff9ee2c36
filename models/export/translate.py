"""From the operations of a trace to the nodes of an ONNX graph."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from torch import fx

from models.errors import InputError
from models.export.graph import Graph

KINDS = {
    torch.float32: onnx.TensorProto.FLOAT,
    torch.float64: onnx.TensorProto.DOUBLE,
    torch.int64: onnx.TensorProto.INT64,
    torch.int32: onnx.TensorProto.INT32,
    torch.uint8: onnx.TensorProto.UINT8,
    torch.bool: onnx.TensorProto.BOOL,
}
"""ONNX element types by torch's."""

Rule = Callable[["Translation", fx.Node], "str | list[str]"]
END = np.iinfo(np.int64).max


class Translation:
    """One trace on its way into a graph; `names` says which value of the graph each node has become."""

    def __init__(self, graph: Graph, traced: fx.GraphModule) -> None:
        self.graph = graph
        self.names: dict[fx.Node, str | list[str]] = {}
        self._traced = traced

    def run(self, inputs: Sequence[str], rules: dict[str, Rule], what: str) -> list[str]:
        """Translate every node; `inputs` are the graph's values for the trace's. Returns the outputs' values.

        Raises InputError for an operation that has no rule; `what` says whose it is.
        """
        given = iter(inputs)
        for node in self._traced.graph.nodes:
            if node.op == "placeholder":
                self.names[node] = next(given)
            elif node.op == "get_attr":
                self.names[node] = self.graph.constant(_array(getattr(self._traced, str(node.target))))
            elif node.op == "call_function":
                rule = SIZES.get(node.target) or rules.get(_name(node.target))
                if rule is None:
                    raise InputError(
                        f"{what} cannot be exported: it uses the operation '{_name(node.target)}', which has no counterpart in "
                        "the exported graph yet. Choose another recipe or learner, or serve it with `equipoise serve`."
                    )
                self.names[node] = rule(self, node)
            elif node.op == "output":
                return [self.value(result) for result in node.args[0]]
        raise AssertionError("a trace ends with its output")

    def value(self, argument: Any, dtype: torch.dtype | None = None) -> str:
        """A node's value, or a number as a constant, as `dtype`."""
        if not isinstance(argument, fx.Node):
            kind = dtype or (torch.float32 if isinstance(argument, float) else torch.int64)
            return self.graph.constant(torch.tensor(argument, dtype=kind).numpy())
        name = self.names[argument]
        assert isinstance(name, str)
        found = argument.meta["val"]
        if dtype is None or not isinstance(found, torch.Tensor) or found.dtype == dtype:
            return name
        return self.graph.cast(name, KINDS[dtype])

    def parts(self, argument: fx.Node) -> list[str]:
        """The values of a node that has several."""
        names = self.names[argument]
        assert isinstance(names, list)
        return names

    def shape(self, sizes: Sequence[Any]) -> str:
        """Sizes as a list of integers; one that is only known with the rows is a node."""
        if not any(isinstance(size, fx.Node) for size in sizes):
            return self.graph.integers(*(int(s) for s in sizes))
        pieces = [self.value(s) if isinstance(s, fx.Node) else self.graph.integers(int(s)) for s in sizes]
        return self.graph.add("Concat", *pieces, axis=0)


def dtype_of(node: fx.Node) -> torch.dtype:
    """Element type of what a node gives."""
    dtype: torch.dtype = node.meta["val"].dtype
    return dtype


def rank_of(node: fx.Node) -> int:
    """Number of dimensions of what a node gives."""
    return int(node.meta["val"].dim())


def wrapped(dims: Any, rank: int) -> list[int]:
    """Dimensions counted from the front, in order."""
    listed = [dims] if isinstance(dims, int) else list(dims if dims else range(rank))
    return [d % rank for d in listed]


def arguments(n: fx.Node, *defaults: Any) -> tuple[Any, ...]:
    """All positional arguments; `defaults` has one for each, of which those that are not given are taken."""
    return (*n.args, *defaults[len(n.args) :])


def unknown(n: fx.Node, what: str) -> Any:
    raise InputError(
        f"the model cannot be exported: it uses '{n.target}' ({what}), which has no counterpart in the exported graph yet. "
        "Choose another recipe or learner, or serve it with `equipoise serve`."
    )


def _name(target: Any) -> str:
    """`aten.add.Tensor` is known as `add`: the overloads that reach an export differ in what they are given alone."""
    text = str(target)
    return text.split(".")[1] if text.startswith("aten.") else getattr(target, "__name__", text)


def _array(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    return tensor.detach().cpu().numpy()


def _size(t: Translation, node: fx.Node) -> str:
    tensor, dim = node.args[0], int(str(node.args[1]))
    assert isinstance(tensor, fx.Node)
    dim %= rank_of(tensor)
    return t.graph.add("Shape", t.value(tensor), start=dim, end=dim + 1)


def _whole(kind: str) -> Rule:
    """Arithmetic of sizes, each a list of one integer."""

    def rule(t: Translation, node: fx.Node) -> str:
        one, other = (t.value(a) if isinstance(a, fx.Node) else t.graph.integers(int(str(a))) for a in node.args)
        return t.graph.add(kind, one, other)

    return rule


def _item(t: Translation, node: fx.Node) -> str:
    source, place = node.args
    assert isinstance(source, fx.Node)
    return t.parts(source)[int(str(place))]


SIZES: dict[Any, Rule] = {
    torch.ops.aten.sym_size.int: _size,
    operator.mul: _whole("Mul"),
    operator.add: _whole("Add"),
    operator.sub: _whole("Sub"),
    operator.floordiv: _whole("Div"),
    operator.getitem: _item,
}
"""What is done with sizes that depend on the rows, and with operations that give several values."""
