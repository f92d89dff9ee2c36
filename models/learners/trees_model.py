"""A boosted ensemble as plain tensors: read out of scikit-learn, saved without pickle, walked on any device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data import Split
from models.learners.learner import Model

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

CELLS = 1 << 20
"""Rows x trees that are walked at once, so that memory stays bounded."""


class TreesModel(Model):
    """Trees as arrays over the nodes of all of them; tree t starts at node `roots[t]`.

    feature [N] int64: the column a node looks at, categorical columns first; threshold [N] float64: a numeric value
    goes left up to here; missing_left [N] bool; children [2 N] int64: left and right of node i at 2 i and 2 i + 1, a
    leaf being its own children; value [N] float64: the leaf's contribution; category [N] int64: where the node's
    category ids begin in `goes_left`, or -1 for a numeric one; goes_left [S] bool; roots [T] int64, round by round and
    output by output; base [K] float64: the outputs before the first tree.
    """

    kind = "trees"

    def __init__(self, architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self._architecture = dict(architecture)
        self._tensors = dict(tensors)

    def tensors(self) -> dict[str, Tensor]:
        """The arrays by name."""
        return dict(self._tensors)

    def architecture(self) -> dict[str, Any]:
        """`classes`; `present`, the classes that had training rows, in the order of the outputs; `rows`; `depth`."""
        return dict(self._architecture)

    @classmethod
    def rebuild(cls, architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TreesModel:
        """The inverse of `tensors` and `architecture`."""
        return cls(architecture, tensors)

    @torch.no_grad()
    def raw(self, split: Split) -> Tensor:
        """Rows -> scikit-learn's raw predictions [n, K] float64, to the bit; K is 1 for two classes."""
        device = split.labels.device
        arrays = {k: v.to(device) for k, v in self._tensors.items()}
        outputs = arrays["base"].shape[0]
        step = max(1, CELLS // max(1, arrays["roots"].shape[0]))
        pieces = []
        for ids, numeric in zip(split.categorical.split(step), split.numeric.split(step), strict=True):
            contributions = self._walk(arrays, ids, numeric).unflatten(1, (-1, outputs))
            total = arrays["base"].repeat(len(ids), 1)
            # One round after the other, as boosting adds them: another order would round differently.
            for round_ in contributions.unbind(1):
                total = total + round_
            pieces.append(total)
        return torch.cat(pieces)

    def _walk(self, arrays: Mapping[str, Tensor], ids: Tensor, numeric: Tensor) -> Tensor:
        """Category ids [b, K] and numeric columns [b, F] -> the leaf value of each row in each tree [b, T]."""
        columns = ids.shape[1]
        rows = torch.cat([ids.double(), numeric.double()], 1)
        missing = rows.isnan()
        any_missing, any_category = bool(missing.any()), columns > 0
        node = arrays["roots"].expand(len(rows), -1)
        for _ in range(self._architecture["depth"]):
            feature = arrays["feature"][node]
            value = rows.gather(1, feature)
            left = value <= arrays["threshold"][node]
            if any_missing:
                left = torch.where(missing.gather(1, feature), arrays["missing_left"][node], left)
            if any_category:
                category = arrays["category"][node]
                entry = torch.where(category >= 0, category + value.nan_to_num().long(), 0)
                left = torch.where(category >= 0, arrays["goes_left"][entry], left)
            node = arrays["children"][2 * node + (~left).long()]
        return arrays["value"][node]

    def logits(self, split: Split) -> Tensor:
        """Rows -> logits [n, C] float32; a class without training rows has about half a row's probability."""
        raw = self.raw(split)
        present, classes = self._architecture["present"], self._architecture["classes"]
        if raw.shape[1] == 1:
            raw = torch.cat([torch.zeros_like(raw), raw], 1)
        if len(present) < classes:
            rare = torch.logsumexp(raw, 1, keepdim=True) - math.log(2 * self._architecture["rows"])
            raw = rare.expand(-1, classes).clone().index_copy(1, torch.tensor(present, device=raw.device), raw)
        return raw.float()


def export(
    boosting: HistGradientBoostingClassifier, rounds: int, codes: list[NDArray[np.float64]], classes: int, rows: int
) -> TreesModel:
    """The first `rounds` of a fitted ensemble; `codes` say which code of the ensemble each category id became."""
    predictors = [tree for one in boosting._predictors[:rounds] for tree in one]
    parts: dict[str, list[NDArray[Any]]] = {k: [] for k in ("feature", "threshold", "missing_left", "children", "value", "category")}
    goes_left: list[NDArray[np.bool_]] = [np.zeros(1, dtype=np.bool_)]
    roots, start, entries, depth = [], 0, 1, 0
    for tree in predictors:
        nodes = tree.nodes
        leaf, own = nodes["is_leaf"].astype(bool), np.arange(start, start + len(nodes))
        categorical = nodes["is_categorical"].astype(bool) & ~leaf
        category = np.full(len(nodes), -1, dtype=np.int64)
        for i in np.flatnonzero(categorical):
            members = _goes_left(nodes[i], tree.raw_left_cat_bitsets[nodes["bitset_idx"][i]], codes[nodes["feature_idx"][i]])
            goes_left.append(members)
            category[i], entries = entries, entries + len(members)
        left = np.where(leaf, own, nodes["left"].astype(np.int64) + start)
        right = np.where(leaf, own, nodes["right"].astype(np.int64) + start)
        parts["feature"].append(np.where(leaf, 0, nodes["feature_idx"]).astype(np.int64))
        parts["threshold"].append(np.where(leaf | categorical, 0.0, nodes["num_threshold"]))
        parts["missing_left"].append(nodes["missing_go_to_left"].astype(np.bool_))
        parts["children"].append(np.stack([left, right], 1).reshape(-1))
        parts["value"].append(np.where(leaf, nodes["value"], 0.0))
        parts["category"].append(category)
        roots.append(start)
        start, depth = start + len(nodes), max(depth, tree.get_max_depth())
    arrays = {name: np.concatenate(pieces) for name, pieces in parts.items()}
    arrays["goes_left"] = np.concatenate(goes_left)
    arrays["roots"] = np.array(roots, dtype=np.int64)
    arrays["base"] = np.asarray(boosting._baseline_prediction, dtype=np.float64).reshape(-1)
    architecture = {"classes": classes, "present": [int(c) for c in boosting.classes_], "rows": rows, "depth": depth}
    return TreesModel(architecture, {name: torch.from_numpy(array.copy()) for name, array in arrays.items()})


def _goes_left(node: Any, bits: NDArray[np.uint32], codes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each category id goes left: by the node's bit of its code; a missing or unseen one like a missing value."""
    known = ~np.isnan(codes)
    code = np.where(known, codes, 0).astype(np.int64)
    chosen = (bits[code // 32] >> (code % 32).astype(np.uint32)) & 1
    return np.where(known, chosen.astype(np.bool_), bool(node["missing_go_to_left"]))
