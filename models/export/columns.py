"""Raw columns as a graph's inputs, and the preprocessing that turns them into what a model reads."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx

from models.export.graph import Graph
from models.preprocess import ImageInput, NumericColumn, Preprocessor

TEXT_NOTE = "text as in training; the empty text is a missing value"
NOTES = {
    "numeric": "number; NaN is a missing value",
    "date": "days since 1970-01-01, in UTC; NaN is a missing value",
    "ordinal": TEXT_NOTE,
    "categorical": TEXT_NOTE,
}
"""What an input holds, by the kind of its column."""


@dataclass(frozen=True)
class Encoded:
    """Values of the graph: numeric [rows, F] float32 (or images, uint8), categorical ids [rows, K] int64."""

    numeric: str
    categorical: str
    rows: str


def encoded(graph: Graph, preprocessor: Preprocessor) -> Encoded:
    """Add the inputs and the nodes of the preprocessing."""
    if preprocessor.image is not None:
        pixels = _image(graph, preprocessor.image)
        rows = graph.add("Shape", pixels, start=0, end=1)
        return Encoded(pixels, _nothing(graph, rows, np.int64), rows)
    raw = [_raw(graph, column) for column in preprocessor.numeric]
    ids = [_categories(graph, c.name, c.categories, 1, 0) for c in preprocessor.categorical]
    rows = graph.add("Shape", (raw + ids)[0], start=0, end=1)
    numeric = _numeric(graph, preprocessor.numeric, raw) if raw else _nothing(graph, rows, np.float32)
    categorical = _side_by_side(graph, ids) if ids else _nothing(graph, rows, np.int64)
    return Encoded(numeric, categorical, rows)


def groups(graph: Graph, preprocessor: Preprocessor) -> str:
    """The intersection of all sensitive attributes [rows] int64; a value that is no group counts as the first."""
    combined = ""
    for attribute in preprocessor.schema_.sensitive:
        ids = _categories(graph, attribute.name, attribute.groups, 0, 0)
        if combined:
            scaled = graph.add("Mul", combined, graph.constant(len(attribute.groups), np.int64))
            ids = graph.add("Add", scaled, ids)
        combined = ids
    return combined


def _nothing(graph: Graph, rows: str, dtype: type) -> str:
    """No columns, for all rows."""
    shape = graph.add("Concat", rows, graph.integers(0), axis=0)
    return graph.add("ConstantOfShape", shape, value=np.zeros(1, dtype))


def _side_by_side(graph: Graph, columns: list[str]) -> str:
    upright = [graph.add("Unsqueeze", column, graph.integers(1)) for column in columns]
    return graph.add("Concat", *upright, axis=1)


def _image(graph: Graph, image: ImageInput) -> str:
    shape = (image.channels, image.height, image.width)
    return graph.input(image.column, onnx.TensorProto.UINT8, shape, "pixels, as decoded: channels, height, width")


def _categories(graph: Graph, name: str, values: tuple[str, ...], first: int, other: int) -> str:
    """Ids from `first` on in the order of `values`, `other` for all else [rows] int64."""
    text = graph.input(name, onnx.TensorProto.STRING, (), TEXT_NOTE)
    if not values:
        empty = graph.add("Shape", text)
        return graph.add("ConstantOfShape", empty, value=np.array([other], np.int64))
    return graph.add(
        "LabelEncoder",
        text,
        domain="ai.onnx.ml",
        keys_strings=list(values),
        values_int64s=list(range(first, first + len(values))),
        default_int64=other,
    )


def _raw(graph: Graph, column: NumericColumn) -> str:
    """The column as float64 with NaN for missing, as `NumericColumn.raw` has it."""
    if column.kind == "ordinal" and column.categories is not None:
        ranks = _categories(graph, column.name, column.categories, 0, -1)
        unknown = graph.add("Less", ranks, graph.constant(0, np.int64))
        return graph.add("Where", unknown, graph.constant(math.nan), graph.cast(ranks, onnx.TensorProto.DOUBLE))
    return graph.input(column.name, onnx.TensorProto.DOUBLE, (), NOTES[column.kind])


def _numeric(graph: Graph, columns: tuple[NumericColumn, ...], raw: list[str]) -> str:
    """The piecewise-linear maps of all columns at once, and the indicators beside those that have one.

    The knots of a column are laid out in a square: of the first knots of its lines one finds the line, of the line's
    knots one finds the place, in float64 as numpy's interp does.
    """
    count = len(columns)
    side = math.isqrt(max(len(c.values) for c in columns) - 1) + 1
    knots = np.full((count, side * side), np.inf)
    starts, slopes, scores = (np.zeros((count, side * side)) for _ in range(3))
    for i, column in enumerate(columns):
        values, own = np.array(column.values), np.array(column.scores)
        knots[i, : len(values)] = starts[i, : len(values)] = values
        scores[i, : len(values)] = own
        slopes[i, : len(values) - 1] = np.diff(own) / np.diff(values)
    table = _side_by_side(graph, raw)
    missing = graph.add("IsNaN", table)
    known = graph.add("Where", missing, graph.constant(0.0), table)
    inside = graph.add("Max", known, graph.constant(knots[:, 0]))
    inside = graph.add("Min", inside, graph.constant(np.array([c.values[-1] for c in columns])))
    upright = graph.add("Unsqueeze", inside, graph.integers(2))
    line = _last_not_above(graph, upright, graph.constant(knots[:, ::side]))
    line = graph.add("Add", line, graph.constant(side * np.arange(count)))
    found = graph.add("Gather", graph.constant(knots.reshape(-1, side)), line, axis=0)
    place = _last_not_above(graph, upright, found)
    place = graph.add("Add", graph.add("Mul", line, graph.constant(side, np.int64)), place)
    start, slope, score = (
        graph.add("Gather", graph.constant(of.reshape(-1)), place, axis=0) for of in (starts, slopes, scores)
    )
    scored = graph.add("Add", graph.add("Mul", slope, graph.add("Sub", inside, start)), score)
    scored = graph.add("Where", missing, graph.constant(0.0), scored)
    both = graph.add("Concat", scored, graph.cast(missing, onnx.TensorProto.DOUBLE), axis=1)
    order = [place for i, c in enumerate(columns) for place in ((i, count + i) if c.indicator else (i,))]
    arranged = graph.add("Gather", both, graph.integers(*order), axis=1)
    return graph.cast(arranged, onnx.TensorProto.FLOAT)


def _last_not_above(graph: Graph, values: str, knots: str) -> str:
    """The position of the last of rising knots that is not above the value; the first is not."""
    reached = graph.cast(graph.add("GreaterOrEqual", values, knots), onnx.TensorProto.INT64)
    counted = graph.add("ReduceSum", reached, graph.integers(2), keepdims=0)
    return graph.add("Sub", counted, graph.constant(1, np.int64))
