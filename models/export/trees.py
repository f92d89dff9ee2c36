"""A boosted ensemble as one tree-ensemble node of ONNX, with sets of categories as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from models.export.columns import Encoded
from models.export.graph import TREES, Graph
from models.learners.trees_model import TreesModel

AT_MOST, MEMBER = 0, 6
"""Kinds of node: `value <= split`, and `value is in the set`."""


def raw_predictions(graph: Graph, model: TreesModel, encoded: Encoded) -> str:
    """The ensemble's outputs before any link, [rows, K] float64."""
    tensors = {name: tensor.cpu().numpy() for name, tensor in model.tensors().items()}
    outputs, trees = len(tensors["base"]), int(model.architecture()["trees"])
    base = tensors["base"].copy()
    counts = np.bincount(tensors["leaf_tree"], minlength=trees)
    lonely = counts[tensors["leaf_tree"]] == 1
    # A tree of one leaf has no node to begin with: it adds the same to every row.
    np.add.at(base, tensors["leaf_tree"][lonely] % outputs, tensors["leaf_value"][lonely])
    if not len(tensors["node_tree"]):
        shape = graph.add("Concat", encoded.rows, graph.integers(outputs), axis=0)
        return graph.add("Expand", graph.constant(base), shape)
    columns = graph.add(
        "Concat",
        graph.cast(encoded.categorical, onnx.TensorProto.DOUBLE),
        graph.cast(encoded.numeric, onnx.TensorProto.DOUBLE),
        axis=1,
    )
    summed = graph.add(TREES, columns, domain="ai.onnx.ml", **_attributes(tensors, model, outputs, counts))
    return graph.add("Add", summed, graph.constant(base))


def _attributes(
    tensors: Mapping[str, NDArray[Any]], model: TreesModel, outputs: int, counts: NDArray[np.int64]
) -> dict[str, object]:
    """The ensemble in the words of the operator: inner nodes, leaves, and where the trees begin."""
    tree, nodes = tensors["node_tree"], len(tensors["node_tree"])
    offset = np.cumsum(counts) - counts
    places = {
        (int(t), int(f), int(e)): i
        for i, (t, f, e) in enumerate(zip(tree, tensors["first"], tensors["end"], strict=True))
    }
    cardinalities, category = model.architecture()["cardinalities"], tensors["category"]

    def child(i: int, start: str, stop: str) -> tuple[int, int]:
        """Position of a subtree, and whether it is a leaf."""
        t, first, end = int(tree[i]), int(tensors[start][i]), int(tensors[stop][i])
        return (int(offset[t]) + first, 1) if end - first == 1 else (places[t, first, end], 0)

    left = [child(i, "first", "middle") for i in range(nodes)]
    right = [child(i, "middle", "end") for i in range(nodes)]
    modes, splits = np.full(nodes, AT_MOST, np.uint8), tensors["threshold"].astype(np.float64)
    sets: list[NDArray[np.float64]] = []
    for i in np.flatnonzero(category >= 0):
        start = int(category[i])
        members = np.flatnonzero(tensors["goes_left"][start : start + cardinalities[int(tensors["node_column"][i])]])
        # The operator has no word for an empty set: no id is below 0.
        modes[i], splits[i] = (MEMBER, 0.0) if len(members) else (AT_MOST, -1.0)
        sets += [np.append(members.astype(np.float64), np.nan)] if len(members) else []
    roots = [places[t, 0, int(counts[t])] for t in range(len(counts)) if counts[t] > 1]
    found: dict[str, object] = {
        "n_targets": outputs,
        "aggregate_function": 1,
        "post_transform": 0,
        "tree_roots": roots,
        "nodes_featureids": [int(c) for c in tensors["node_column"]],
        "nodes_modes": modes,
        "nodes_splits": splits,
        "nodes_truenodeids": [place for place, _ in left],
        "nodes_trueleafs": [leaf for _, leaf in left],
        "nodes_falsenodeids": [place for place, _ in right],
        "nodes_falseleafs": [leaf for _, leaf in right],
        "nodes_missing_value_tracks_true": [int(b) for b in tensors["missing_left"]],
        "leaf_targetids": [int(t) % outputs for t in tensors["leaf_tree"]],
        "leaf_weights": tensors["leaf_value"].astype(np.float64),
    }
    if sets:
        found["membership_values"] = np.concatenate(sets)
    return found
