"""Operations on where numbers stand as ONNX nodes: shapes, slices, look-ups and constants."""

from __future__ import annotations

import torch
from torch import fx

from models.export.translate import END, Rule, Translation, arguments, dtype_of, rank_of, unknown, wrapped


def same(t: Translation, n: fx.Node) -> str:
    """The value itself, as the type of the result."""
    return t.value(n.args[0], dtype_of(n))


def full(t: Translation, n: fx.Node) -> str:
    """A tensor of a given shape, filled with a value."""
    return t.graph.add("Expand", t.value(n.args[1], dtype_of(n)), t.shape(arguments(n)[0]))


def filled(value: float | None) -> Rule:
    """A tensor of another's shape, filled with a value or with the second argument."""

    def rule(t: Translation, n: fx.Node) -> str:
        shape = t.graph.add("Shape", t.value(n.args[0]))
        return t.graph.add("Expand", t.value(n.args[1] if value is None else value, dtype_of(n)), shape)

    return rule


def view(t: Translation, n: fx.Node) -> str:
    """Another shape of the same numbers."""
    return t.graph.add("Reshape", t.value(n.args[0]), t.shape(arguments(n)[1]), allowzero=1)


def expand(t: Translation, n: fx.Node) -> str:
    """Dimensions of size 1 repeated."""
    sizes = [1 if size == -1 else size for size in arguments(n)[1]]
    return t.graph.add("Expand", t.value(n.args[0]), t.shape(sizes))


def permute(t: Translation, n: fx.Node) -> str:
    """Dimensions in another order."""
    return t.graph.add("Transpose", t.value(n.args[0]), perm=wrapped(n.args[1], rank_of(n)))


def unsqueeze(t: Translation, n: fx.Node) -> str:
    """New dimensions of size 1."""
    return t.graph.add("Unsqueeze", t.value(n.args[0]), t.graph.integers(*wrapped(n.args[1], rank_of(n))))


def squeeze(t: Translation, n: fx.Node) -> str:
    """Without some dimensions of size 1."""
    source, dims = arguments(n)
    return t.graph.add("Squeeze", t.value(source), t.graph.integers(*wrapped(dims, rank_of(source))))


def sliced(t: Translation, n: fx.Node) -> str:
    """A range along one dimension."""
    source, dim, start, end, step = arguments(n, None, 0, None, None, 1)
    limits = [0 if start is None else start, END if end is None else end]
    begin, stop = (t.value(x) if isinstance(x, fx.Node) else t.graph.integers(x) for x in limits)
    axis = t.graph.integers(*wrapped(dim, rank_of(n)))
    return t.graph.add("Slice", t.value(source), begin, stop, axis, t.graph.integers(step))


def select(t: Translation, n: fx.Node) -> str:
    """One place along one dimension, which goes."""
    source, dim, place = arguments(n)
    axis = wrapped(dim, rank_of(source))[0]
    return t.graph.add("Gather", t.value(source), t.value(place, torch.int64), axis=axis)


def cat(t: Translation, n: fx.Node) -> str:
    """Tensors one after the other."""
    parts, dim = arguments(n, None, 0)
    return t.graph.add("Concat", *(t.value(p, dtype_of(n)) for p in parts), axis=wrapped(dim, rank_of(n))[0])


def index(t: Translation, n: fx.Node) -> str:
    """Advanced indexing by one tensor, or by one for each of the first dimensions: looking up by class, by group and class."""
    source, places = arguments(n)[:2]
    used = [i for i, p in enumerate(places) if p is not None]
    if any(dtype_of(places[i]) != torch.int64 for i in used):
        return unknown(n, "index by a mask")
    if len(used) == 1:
        return t.graph.add("Gather", t.value(source), t.value(places[used[0]]), axis=used[0])
    if used != list(range(len(used))) or len({rank_of(places[i]) for i in used}) != 1:
        return unknown(n, "index by several tensors that are not of one shape, or not in front")
    upright = [t.graph.add("Unsqueeze", t.value(places[i]), t.graph.integers(-1)) for i in used]
    return t.graph.add("GatherND", t.value(source), t.graph.add("Concat", *upright, axis=-1))


def index_select(t: Translation, n: fx.Node) -> str:
    """Places along one dimension."""
    return t.graph.add("Gather", t.value(n.args[0]), t.value(n.args[2]), axis=wrapped(n.args[1], rank_of(n))[0])


def gather(t: Translation, n: fx.Node) -> str:
    """For each element a place of its own along one dimension."""
    axis = wrapped(n.args[1], rank_of(n))[0]
    return t.graph.add("GatherElements", t.value(n.args[0]), t.value(n.args[2]), axis=axis)


def embedding(t: Translation, n: fx.Node) -> str:
    """Rows of a table."""
    return t.graph.add("Gather", t.value(n.args[0]), t.value(n.args[1]), axis=0)


def arange(t: Translation, n: fx.Node) -> str:
    """A sequence of known length."""
    limits = arguments(n)
    if any(isinstance(limit, fx.Node) for limit in limits):
        return unknown(n, "a sequence as long as the rows")
    return t.graph.constant(torch.arange(*limits, dtype=dtype_of(n)).numpy())


def pad(t: Translation, n: fx.Node) -> str:
    """torch pads the last dimension first; ONNX takes all starts, then all ends."""
    source, given, value = arguments(n, None, None, 0)
    rank = rank_of(source)
    starts, ends = [0] * rank, [0] * rank
    for i in range(len(given) // 2):
        starts[rank - 1 - i], ends[rank - 1 - i] = given[2 * i], given[2 * i + 1]
    return t.graph.add("Pad", t.value(source), t.graph.integers(*starts, *ends), t.value(value, dtype_of(source)))


def flip(t: Translation, n: fx.Node) -> str:
    """Some dimensions back to front."""
    axes = wrapped(n.args[1], rank_of(n))
    back, stop = t.graph.integers(*[-1] * len(axes)), t.graph.integers(*[-END] * len(axes))
    return t.graph.add("Slice", t.value(n.args[0]), back, stop, t.graph.integers(*axes), back)
