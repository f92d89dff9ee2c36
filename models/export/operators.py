"""The table of core ATen operations and the ONNX nodes that do the same.

Every rule is a few nodes of the standard operator set; an operation without a rule is refused by name.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from models.errors import InputError
from models.export.translate import END, Rule, Translation, dtype_of, rank_of, wrapped


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


def arguments(n: fx.Node, *defaults: Any) -> tuple[Any, ...]:
    """All positional arguments; `defaults` has one for each, of which those that are not given are taken."""
    return (*n.args, *defaults[len(n.args) :])


def node(argument: Any) -> fx.Node:
    """An argument that must be a node."""
    assert isinstance(argument, fx.Node)
    return argument


def _same(t: Translation, n: fx.Node) -> str:
    return t.value(n.args[0], dtype_of(n))


def _constant(t: Translation, n: fx.Node) -> str:
    return t.value(n.args[0], dtype_of(n))


def _full(t: Translation, n: fx.Node) -> str:
    return t.graph.add("Expand", t.value(n.args[1], dtype_of(n)), t.shape(_sizes(n.args[0])))


def _filled(value: float | None) -> Rule:
    """A tensor of another's shape, filled with a value or with the second argument."""

    def rule(t: Translation, n: fx.Node) -> str:
        shape = t.graph.add("Shape", t.value(n.args[0]))
        return t.graph.add("Expand", t.value(n.args[1] if value is None else value, dtype_of(n)), shape)

    return rule


def _sizes(argument: Any) -> list[Any]:
    return list(argument)


def _view(t: Translation, n: fx.Node) -> str:
    return t.graph.add("Reshape", t.value(n.args[0]), t.shape(_sizes(n.args[1])), allowzero=1)


def _expand(t: Translation, n: fx.Node) -> str:
    sizes = [1 if size == -1 else size for size in _sizes(n.args[1])]
    return t.graph.add("Expand", t.value(n.args[0]), t.shape(sizes))


def _permute(t: Translation, n: fx.Node) -> str:
    return t.graph.add("Transpose", t.value(n.args[0]), perm=wrapped(n.args[1], rank_of(n)))


def _unsqueeze(t: Translation, n: fx.Node) -> str:
    return t.graph.add("Unsqueeze", t.value(n.args[0]), t.graph.integers(*wrapped(n.args[1], rank_of(n))))


def _squeeze(t: Translation, n: fx.Node) -> str:
    axes = wrapped(n.args[1], rank_of(node(n.args[0])))
    return t.graph.add("Squeeze", t.value(n.args[0]), t.graph.integers(*axes))


def _slice(t: Translation, n: fx.Node) -> str:
    source, dim, start, end, step = arguments(n, None, 0, None, None, 1)
    limits = [0 if start is None else start, END if end is None else end]
    begin, stop = (t.value(x) if isinstance(x, fx.Node) else t.graph.integers(x) for x in limits)
    axis = t.graph.integers(*wrapped(dim, rank_of(n)))
    return t.graph.add("Slice", t.value(source), begin, stop, axis, t.graph.integers(step))


def _select(t: Translation, n: fx.Node) -> str:
    source, dim, place = n.args
    axis = wrapped(dim, rank_of(node(source)))[0]
    return t.graph.add("Gather", t.value(source), t.value(place, torch.int64), axis=axis)


def _cat(t: Translation, n: fx.Node) -> str:
    parts, dim = arguments(n, None, 0)
    return t.graph.add("Concat", *(t.value(p, dtype_of(n)) for p in parts), axis=wrapped(dim, rank_of(n))[0])


def _index(t: Translation, n: fx.Node) -> str:
    """Advanced indexing by one tensor, which is what looking up by class or group is."""
    places: Any = n.args[1]
    used = [i for i, p in enumerate(places) if p is not None]
    if len(used) != 1 or dtype_of(node(places[used[0]])) != torch.int64:
        return _unknown(n, "index by several tensors or by a mask")
    return t.graph.add("Gather", t.value(n.args[0]), t.value(places[used[0]]), axis=used[0])


def _index_select(t: Translation, n: fx.Node) -> str:
    return t.graph.add("Gather", t.value(n.args[0]), t.value(n.args[2]), axis=wrapped(n.args[1], rank_of(n))[0])


def _gather(t: Translation, n: fx.Node) -> str:
    axis = wrapped(n.args[1], rank_of(n))[0]
    return t.graph.add("GatherElements", t.value(n.args[0]), t.value(n.args[2]), axis=axis)


def _embedding(t: Translation, n: fx.Node) -> str:
    return t.graph.add("Gather", t.value(n.args[0]), t.value(n.args[1]), axis=0)


def _clamp(t: Translation, n: fx.Node) -> str:
    value, dtype = t.value(n.args[0], dtype_of(n)), dtype_of(n)
    _, low, high = arguments(n, None, None, None)
    low, high = n.kwargs.get("min", low), n.kwargs.get("max", high)
    # Max and Min, as Clip takes numbers alone and torch's clamp tensors too.
    if low is not None:
        value = t.graph.add("Max", value, t.value(low, dtype))
    return value if high is None else t.graph.add("Min", value, t.value(high, dtype))


def _where(t: Translation, n: fx.Node) -> str:
    dtype = dtype_of(n)
    return t.graph.add("Where", t.value(n.args[0], torch.bool), *(t.value(a, dtype) for a in n.args[1:]))


def _log1p(t: Translation, n: fx.Node) -> str:
    return t.graph.add("Log", t.graph.add("Add", t.value(n.args[0], dtype_of(n)), t.value(1, dtype_of(n))))


def _rsqrt(t: Translation, n: fx.Node) -> str:
    return t.graph.add("Reciprocal", t.graph.add("Sqrt", t.value(n.args[0], dtype_of(n))))


def _gelu(t: Translation, n: fx.Node) -> str:
    """x Phi(x), by the error function."""
    dtype = dtype_of(n)
    if n.kwargs.get("approximate", "none") != "none":
        return _unknown(n, "gelu by tanh")
    value = t.value(n.args[0], dtype)
    bell = t.graph.add("Erf", t.graph.add("Mul", value, t.value(0.5**0.5, dtype)))
    share = t.graph.add("Mul", t.graph.add("Add", bell, t.value(1.0, dtype)), t.value(0.5, dtype))
    return t.graph.add("Mul", value, share)


def _norm(t: Translation, n: fx.Node) -> str:
    source, order, dims, keep = arguments(n, None, 2, None, False)
    kind = {1: "ReduceL1", 2: "ReduceL2"}.get(order)
    if kind is None:
        return _unknown(n, f"norm of order {order}")
    axes = t.graph.integers(*wrapped(dims, rank_of(node(source))))
    return t.graph.add(kind, t.value(source, dtype_of(n)), axes, keepdims=int(bool(keep)))


def _argmax(t: Translation, n: fx.Node) -> str:
    source, dim, keep = arguments(n, None, None, False)
    return t.graph.add("ArgMax", t.value(source), axis=wrapped(dim, rank_of(source))[0], keepdims=int(keep))


def _addmm(t: Translation, n: fx.Node) -> str:
    if n.kwargs.get("alpha", 1) != 1 or n.kwargs.get("beta", 1) != 1:
        return _unknown(n, "addmm with factors")
    product = t.graph.add("MatMul", t.value(n.args[1]), t.value(n.args[2]))
    return t.graph.add("Add", product, t.value(n.args[0]))


def _convolution(t: Translation, n: fx.Node) -> str:
    source, weight, bias, stride, padding, dilation, transposed, _, groups = arguments(n)
    if transposed:
        return _unknown(n, "transposed convolution")
    inputs = [t.value(source), t.value(weight), *([t.value(bias)] if bias is not None else [])]
    shape = {"strides": list(stride), "pads": [*padding, *padding], "dilations": list(dilation), "group": groups}
    return t.graph.add("Conv", *inputs, **shape)


def _batch_norm(t: Translation, n: fx.Node) -> list[str]:
    source, weight, bias, mean, variance, _, eps = arguments(n)
    inputs = [t.value(a) for a in (source, weight, bias, mean, variance)]
    return [t.graph.add("BatchNormalization", *inputs, epsilon=eps)]


def _layer_norm(t: Translation, n: fx.Node) -> list[str]:
    source, dims, weight, bias, eps = arguments(n)
    scale = t.value(weight) if weight is not None else t.graph.constant(torch.ones(list(dims)).numpy())
    inputs = [t.value(source), scale, *([t.value(bias)] if bias is not None else [])]
    return [t.graph.add("LayerNormalization", *inputs, axis=-len(dims), epsilon=eps)]


def _pad(t: Translation, n: fx.Node) -> str:
    """torch pads the last dimension first; ONNX takes all starts, then all ends."""
    source, given, value = arguments(n, None, None, 0)
    rank = rank_of(source)
    starts, ends = [0] * rank, [0] * rank
    for i in range(len(given) // 2):
        starts[rank - 1 - i], ends[rank - 1 - i] = given[2 * i], given[2 * i + 1]
    return t.graph.add("Pad", t.value(source), t.graph.integers(*starts, *ends), t.value(value, dtype_of(source)))


def _cumsum(t: Translation, n: fx.Node) -> str:
    axis = wrapped(n.args[1], rank_of(n))[0]
    return t.graph.add("CumSum", t.value(n.args[0], dtype_of(n)), t.value(axis, torch.int64))


def _flip(t: Translation, n: fx.Node) -> str:
    axes = wrapped(n.args[1], rank_of(n))
    back, stop = t.graph.integers(*[-1] * len(axes)), t.graph.integers(*[-END] * len(axes))
    return t.graph.add("Slice", t.value(n.args[0]), back, stop, t.graph.integers(*axes), back)


def _unknown(n: fx.Node, what: str) -> Any:
    raise InputError(
        f"the model cannot be exported: it uses '{n.target}' ({what}), which has no counterpart in the exported graph yet. "
        "Choose another recipe or learner, or serve it with `equipoise serve`."
    )


RULES: dict[str, Rule] = {
    "add": binary("Add"), "sub": binary("Sub"), "mul": binary("Mul"), "div": binary("Div"), "pow": binary("Pow"),
    "maximum": binary("Max"), "minimum": binary("Min"),
    "eq": compared("Equal"), "ne": compared("Equal", negated=True),
    "lt": compared("Less"), "le": compared("LessOrEqual"), "gt": compared("Greater"), "ge": compared("GreaterOrEqual"),
    "logical_not": unary("Not"), "bitwise_not": unary("Not"),
    "logical_and": binary("And"), "logical_or": binary("Or"), "bitwise_and": binary("And"), "bitwise_or": binary("Or"),
    "neg": unary("Neg"), "abs": unary("Abs"), "exp": unary("Exp"), "log": unary("Log"), "sqrt": unary("Sqrt"),
    "reciprocal": unary("Reciprocal"), "sign": unary("Sign"), "round": unary("Round"), "floor": unary("Floor"),
    "sin": unary("Sin"), "cos": unary("Cos"), "erf": unary("Erf"), "relu": unary("Relu"), "sigmoid": unary("Sigmoid"),
    "tanh": unary("Tanh"), "isnan": lambda t, n: t.graph.add("IsNaN", t.value(n.args[0])),
    "log1p": _log1p, "rsqrt": _rsqrt, "gelu": _gelu,
    "sum": reduced("ReduceSum"), "mean": reduced("ReduceMean"), "amax": reduced("ReduceMax"), "amin": reduced("ReduceMin"),
    "prod": reduced("ReduceProd"), "linalg_vector_norm": _norm, "argmax": _argmax, "cumsum": _cumsum,
    "_softmax": normalized("Softmax"), "_log_softmax": normalized("LogSoftmax"),
    "mm": binary("MatMul"), "bmm": binary("MatMul"), "addmm": _addmm,
    "convolution": _convolution, "_native_batch_norm_legit_no_training": _batch_norm, "native_layer_norm": _layer_norm,
    "view": _view, "reshape": _view, "_unsafe_view": _view, "expand": _expand, "permute": _permute,
    "unsqueeze": _unsqueeze, "squeeze": _squeeze, "slice": _slice, "select": _select, "cat": _cat, "flip": _flip,
    "constant_pad_nd": _pad, "index": _index, "index_select": _index_select, "gather": _gather, "embedding": _embedding,
    "clamp": _clamp, "clamp_min": _clamp, "where": _where,
    "_to_copy": _same, "clone": _same, "alias": _same, "detach": _same, "lift_fresh_copy": _same,
    "scalar_tensor": _constant, "full": _full, "full_like": _filled(None), "zeros_like": _filled(0.0),
    "ones_like": _filled(1.0),
}  # fmt: skip
"""By the operation's name."""
