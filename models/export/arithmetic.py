"""Operations on numbers as ONNX nodes: element by element, reductions, products, convolutions and normalization."""

from __future__ import annotations

import math

import numpy as np
import onnx
import torch
from torch import fx

from models.export.translate import KINDS, Rule, Translation, arguments, dtype_of, rank_of, unknown, wrapped


def unary(kind: str) -> Rule:
    """One input, element by element."""
    return lambda t, n: t.graph.add(kind, t.value(n.args[0], dtype_of(n)))


def binary(kind: str) -> Rule:
    """Two inputs with broadcasting, both as the type of the result; `alpha` scales the second."""

    def rule(t: Translation, n: fx.Node) -> str:
        dtype = dtype_of(n)
        one, other = (t.value(a, dtype) for a in n.args[:2])
        alpha = n.kwargs.get("alpha", 1)
        if alpha != 1:
            other = t.graph.add("Mul", other, t.value(alpha, dtype))
        return t.graph.add(kind, one, other)

    return rule


def compared(kind: str, negated: bool = False) -> Rule:
    """Two inputs, compared as the wider of their types."""

    def rule(t: Translation, n: fx.Node) -> str:
        one, other = n.args
        types = [dtype_of(a) for a in (one, other) if isinstance(a, fx.Node)]
        dtype = types[0] if len(types) == 1 else torch.promote_types(*types)
        if any(isinstance(a, float) for a in (one, other)) and not dtype.is_floating_point:
            dtype = torch.float64
        found = t.graph.add(kind, t.value(one, dtype), t.value(other, dtype))
        return t.graph.add("Not", found) if negated else found

    return rule


def reduced(kind: str) -> Rule:
    """Over some dimensions, or all; `keepdim` is the third argument."""

    def rule(t: Translation, n: fx.Node) -> str:
        source, dims, keep = arguments(n, None, None, False)[:3]
        axes = t.graph.integers(*wrapped(dims, rank_of(source)))
        return t.graph.add(kind, t.value(source, dtype_of(n)), axes, keepdims=int(keep))

    return rule


def normalized(kind: str) -> Rule:
    """Softmax and its logarithm along one dimension."""
    return lambda t, n: t.graph.add(kind, t.value(n.args[0], dtype_of(n)), axis=n.args[1])


def clamp(t: Translation, n: fx.Node) -> str:
    """Numbers kept within limits, which may be tensors."""
    value, dtype = t.value(n.args[0], dtype_of(n)), dtype_of(n)
    _, low, high = arguments(n, None, None, None)
    low, high = n.kwargs.get("min", low), n.kwargs.get("max", high)
    # Max and Min, as Clip takes numbers alone and torch's clamp tensors too.
    if low is not None:
        value = t.graph.add("Max", value, t.value(low, dtype))
    return value if high is None else t.graph.add("Min", value, t.value(high, dtype))


def chosen(t: Translation, n: fx.Node) -> str:
    """One of two by a condition."""
    dtype = dtype_of(n)
    return t.graph.add("Where", t.value(n.args[0], torch.bool), *(t.value(a, dtype) for a in n.args[1:]))


def log1p(t: Translation, n: fx.Node) -> str:
    """log(1 + x)."""
    return t.graph.add("Log", t.graph.add("Add", t.value(n.args[0], dtype_of(n)), t.value(1, dtype_of(n))))


def rsqrt(t: Translation, n: fx.Node) -> str:
    """1 / sqrt(x)."""
    return t.graph.add("Reciprocal", t.graph.add("Sqrt", t.value(n.args[0], dtype_of(n))))


def gelu(t: Translation, n: fx.Node) -> str:
    """x Phi(x), by the error function."""
    dtype = dtype_of(n)
    if n.kwargs.get("approximate", "none") != "none":
        return unknown(n, "gelu by tanh")
    value = t.value(n.args[0], dtype)
    bell = t.graph.add("Erf", t.graph.add("Mul", value, t.value(0.5**0.5, dtype)))
    share = t.graph.add("Mul", t.graph.add("Add", bell, t.value(1.0, dtype)), t.value(0.5, dtype))
    return t.graph.add("Mul", value, share)


def norm(t: Translation, n: fx.Node) -> str:
    """The sum of absolutes, or the Euclidean norm."""
    source, order, dims, keep = arguments(n, None, 2, None, False)
    kind = {1: "ReduceL1", 2: "ReduceL2"}.get(order)
    if kind is None:
        return unknown(n, f"norm of order {order}")
    axes = t.graph.integers(*wrapped(dims, rank_of(source)))
    return t.graph.add(kind, t.value(source, dtype_of(n)), axes, keepdims=int(bool(keep)))


def var(t: Translation, n: fx.Node) -> str:
    """The mean squared distance from the mean, times n / (n - correction)."""
    source, dims = arguments(n, None, None)[:2]
    axes, correction = wrapped(dims, rank_of(source)), n.kwargs.get("correction", 1)
    sizes = [source.meta["val"].shape[a] for a in axes]
    if not all(isinstance(size, int) for size in sizes):
        return unknown(n, "variance over the rows")
    count = math.prod(sizes)
    value, places = t.value(source), t.graph.integers(*axes)
    apart = t.graph.add("Sub", value, t.graph.add("ReduceMean", value, places, keepdims=1))
    squared = t.graph.add("Mul", apart, apart)
    mean = t.graph.add("ReduceMean", squared, places, keepdims=int(bool(n.kwargs.get("keepdim", False))))
    return t.graph.add(
        "Mul", mean, t.value(count / (count - correction) if count > correction else math.nan, dtype_of(n))
    )


def searchsorted(t: Translation, n: fx.Node) -> str:
    """The number of the edges [L] that lie below each value, or not above it."""
    edges, values = arguments(n)[:2]
    if rank_of(edges) != 1 or n.kwargs.get("sorter") is not None:
        return unknown(n, "a search in several sequences")
    right = bool(n.kwargs.get("right", False)) or n.kwargs.get("side") == "right"
    upright = t.graph.add("Unsqueeze", t.value(values), t.graph.integers(-1))
    passed = t.graph.add("GreaterOrEqual" if right else "Greater", upright, t.value(edges, dtype_of(values)))
    return t.graph.add("ReduceSum", t.graph.cast(passed, onnx.TensorProto.INT64), t.graph.integers(-1), keepdims=0)


def shifted(direction: str) -> Rule:
    """Bits of integers moved as those of unsigned ones; to the right, copies of the sign come in, as torch has it."""

    def rule(t: Translation, n: fx.Node) -> str:
        value, by = arguments(n)
        wide = torch.int64
        bits = t.graph.cast(t.value(value, wide), onnx.TensorProto.UINT64)
        distance = t.graph.cast(t.value(by, wide), onnx.TensorProto.UINT64)
        moved = t.graph.cast(t.graph.add("BitShift", bits, distance, direction=direction), onnx.TensorProto.INT64)
        if direction == "RIGHT":
            ones = t.graph.cast(t.graph.constant(-1, np.int64), onnx.TensorProto.UINT64)
            kept = t.graph.cast(t.graph.add("BitShift", ones, distance, direction=direction), onnx.TensorProto.INT64)
            negative = t.graph.add("Less", t.value(value, wide), t.graph.constant(0, np.int64))
            signed = t.graph.add("BitwiseOr", moved, t.graph.add("BitwiseNot", kept))
            moved = t.graph.add("Where", negative, signed, moved)
        return moved if dtype_of(n) == wide else t.graph.cast(moved, KINDS[dtype_of(n)])

    return rule


def bitwise(logical: str, arithmetic: str) -> Rule:
    """Of truth values their logic, of integers their bits."""

    return lambda t, n: binary(logical if dtype_of(n) == torch.bool else arithmetic)(t, n)


def argmax(t: Translation, n: fx.Node) -> str:
    """The first place of the largest."""
    source, dim, keep = arguments(n, None, None, False)
    return t.graph.add("ArgMax", t.value(source), axis=wrapped(dim, rank_of(source))[0], keepdims=int(keep))


def addmm(t: Translation, n: fx.Node) -> str:
    """A bias plus a product."""
    if n.kwargs.get("alpha", 1) != 1 or n.kwargs.get("beta", 1) != 1:
        return unknown(n, "addmm with factors")
    product = t.graph.add("MatMul", t.value(n.args[1]), t.value(n.args[2]))
    return t.graph.add("Add", product, t.value(n.args[0]))


def convolution(t: Translation, n: fx.Node) -> str:
    """As torch has it, with the same padding on both sides."""
    source, weight, bias, stride, padding, dilation, transposed, _, groups = arguments(n)
    if transposed:
        return unknown(n, "transposed convolution")
    inputs = [t.value(source), t.value(weight), *([t.value(bias)] if bias is not None else [])]
    shape = {"strides": list(stride), "pads": [*padding, *padding], "dilations": list(dilation), "group": groups}
    return t.graph.add("Conv", *inputs, **shape)


def batch_norm(t: Translation, n: fx.Node) -> list[str]:
    """With the running statistics."""
    source, weight, bias, mean, variance, _, eps = arguments(n)
    inputs = [t.value(a) for a in (source, weight, bias, mean, variance)]
    return [t.graph.add("BatchNormalization", *inputs, epsilon=eps)]


def layer_norm(t: Translation, n: fx.Node) -> list[str]:
    """Over the last dimensions."""
    source, dims, weight, bias, eps = arguments(n)
    scale = t.value(weight) if weight is not None else t.graph.constant(torch.ones(list(dims)).numpy())
    inputs = [t.value(source), scale, *([t.value(bias)] if bias is not None else [])]
    return [t.graph.add("LayerNormalization", *inputs, axis=-len(dims), epsilon=eps)]


def cumsum(t: Translation, n: fx.Node) -> str:
    """Running sums along one dimension."""
    axis = wrapped(n.args[1], rank_of(n))[0]
    return t.graph.add("CumSum", t.value(n.args[0], dtype_of(n)), t.value(axis, torch.int64))


def inverted(t: Translation, n: fx.Node) -> str:
    """The other truth value, or all bits turned."""
    return t.graph.add("Not" if dtype_of(n) == torch.bool else "BitwiseNot", t.value(n.args[0]))


def isnan(t: Translation, n: fx.Node) -> str:
    """Whether it is no number."""
    return t.graph.add("IsNaN", t.value(n.args[0]))
