"""A boosted ensemble as plain tensors: read out of scikit-learn, saved without pickle, evaluated on any device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data import Split
from models.learners.learner import Model
from models.learners.tree_bins import as_values

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

CELLS = 1 << 16
"""Rows x trees that are evaluated at once: half a megabyte, which stays in a core's cache; more on an accelerator."""

BITS = 63
"""Leaves per word of a mask; the sign bit is left out, so that a mask is a sum of positive powers of two."""


class TreesModel(Model):
    """Trees as arrays over their inner nodes [N] and their leaves [M], each tree's leaves numbered from left to right.

    node_tree, node_column [N] int64: where a node is and which column it looks at, categorical columns first;
    threshold [N] float32: a number goes left up to here; missing_left [N] bool; category [N] int64: where the entries
    of a categorical node's ids begin in `goes_left` [S] bool, or -1 for a numeric one; first, middle, end [N] int64:
    its left subtree holds the leaves first … middle - 1 of the tree, its right one middle … end - 1; leaf_tree [M]
    int64 and leaf_value [M] float64; base [K] float64: the outputs before the first tree. Trees come round by round,
    and within a round output by output.
    """

    kind = "trees"

    def __init__(self, architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self._architecture = dict(architecture)
        self._tensors = dict(tensors)
        self._compiled: _Compiled | None = None

    def tensors(self) -> dict[str, Tensor]:
        """The arrays by name."""
        return dict(self._tensors)

    def architecture(self) -> dict[str, Any]:
        """`cardinalities` of the categorical columns; `classes`; `present`, the classes with training rows; `rows`; `trees`."""
        return dict(self._architecture)

    @classmethod
    def rebuild(cls, architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TreesModel:
        """The inverse of `tensors` and `architecture`."""
        return cls(architecture, tensors)

    @torch.no_grad()
    def raw(self, split: Split) -> Tensor:
        """Rows -> scikit-learn's raw predictions [n, K] float64, to the bit; K is 1 for two classes."""
        device = split.labels.device
        if self._compiled is None or self._compiled.values.device != device:
            tensors = {k: v.to(device) for k, v in self._tensors.items()}
            self._compiled = _compile(tensors, self._architecture["trees"], self._architecture["cardinalities"])
        compiled = self._compiled
        base = self._tensors["base"].to(device)
        cells = CELLS if device.type == "cpu" else 256 * CELLS
        step = max(1, cells // max(1, self._architecture["trees"]))
        pieces = []
        for ids, numeric in zip(split.categorical.split(step), split.numeric.split(step), strict=True):
            total = base[:, None].repeat(1, len(ids))
            # One round after the other, as boosting adds them: another order would round differently.
            for one in compiled.leaf_values(ids, numeric).unflatten(0, (-1, len(base))):
                total += one
            pieces.append(total.T)
        return torch.cat(pieces)

    def logits(self, split: Split) -> Tensor:
        """Rows -> logits [n, C] float32; a class without training rows has about half a row's probability."""
        return self.logits_of(self.raw(split))

    def logits_of(self, raw: Tensor) -> Tensor:
        """Raw predictions [n, K] float64 -> logits [n, C] float32; of a number it is what is predicted [n, 1]."""
        present, classes = self._architecture["present"], self._architecture["classes"]
        if classes == 1:
            return raw.float()
        if raw.shape[1] == 1:
            raw = torch.cat([torch.zeros_like(raw), raw], 1)
        if len(present) < classes:
            rare = torch.logsumexp(raw, 1, keepdim=True) - math.log(2 * self._architecture["rows"])
            places = [present.index(c) if c in present else len(present) for c in range(classes)]
            raw = torch.cat([raw, rare], 1).index_select(1, torch.tensor(places, device=raw.device))
        return raw.float()


class _Compiled(NamedTuple):
    """The arrays arranged for whole columns and whole trees at once.

    A node whose row turns right rules out the leaves of its left subtree; the leftmost leaf that no node rules out is
    the one that the row reaches (Lucchese et al. 2015, QuickScorer). Leaves are bits of W words, the node i of every
    tree T a matrix of masks, so that all trees take one node at a time.
    """

    numeric: tuple[tuple[int, Tensor, Tensor], ...]  # column, thresholds [Nj, 1], missing_left [Nj, 1]
    categorical: tuple[tuple[int, Tensor], ...]  # column, goes_left by id [Nj, cardinality]
    order: Tensor  # [I * T] positions of the padded nodes of all trees in the columns' order
    masks: Tensor  # [I, W, T, 1] int64, the leaves that stay when the row turns right
    values: Tensor  # [T, W * BITS] float64

    def leaf_values(self, ids: Tensor, numeric: Tensor) -> Tensor:
        """Category ids [b, K] and numeric columns [b, F] -> the value of each row's leaf in each tree [T, b]."""
        left = [table.index_select(1, ids[:, column]) for column, table in self.categorical]
        for column, thresholds, missing_left in self.numeric:
            value = numeric[:, column]
            turns, missing = value <= thresholds, value.isnan()
            left.append(turns | (missing & missing_left) if bool(missing.any()) else turns)
        # The last node is the one that padding points to: it rules nothing out.
        left.append(torch.ones(1, len(ids), dtype=torch.bool, device=ids.device))
        inner, words, trees, _ = self.masks.shape
        turned = torch.cat(left).index_select(0, self.order).view(inner, 1, trees, len(ids))
        stays = torch.full((words, trees, len(ids)), (1 << BITS) - 1, dtype=torch.int64, device=ids.device)
        everything = torch.tensor(-1, device=ids.device)
        for i in range(inner):
            stays &= torch.where(turned[i], everything, self.masks[i])
        leaf = torch.zeros(trees, len(ids), dtype=torch.int64, device=ids.device)
        for word in reversed(range(words)):
            # The lowest bit as a float: its exponent is its position, exactly.
            lowest = torch.frexp((stays[word] & -stays[word]).double()).exponent - 1
            leaf = torch.where(stays[word] != 0, lowest + word * BITS, leaf)
        return self.values.gather(1, leaf)


def _compile(tensors: Mapping[str, Tensor], trees: int, cardinalities: list[int]) -> _Compiled:
    tree, column, category = tensors["node_tree"], tensors["node_column"], tensors["category"]
    device, nodes, width = tree.device, len(tree), len(cardinalities)
    numeric, categorical, arranged = [], [], []
    for j in sorted(set(column.tolist())):
        mine = torch.nonzero(column == j)[:, 0]
        if j < width:
            entries = category[mine][:, None] + torch.arange(cardinalities[j], device=device)
            categorical.append((j, tensors["goes_left"][entries]))
        else:
            numeric.append((j - width, tensors["threshold"][mine][:, None], tensors["missing_left"][mine][:, None]))
        arranged.append(mine)
    place = torch.empty(nodes, dtype=torch.int64, device=device)
    if arranged:
        place[torch.cat(arranged)] = torch.arange(nodes, device=device)

    per_tree, leaves = torch.bincount(tree, minlength=trees), torch.bincount(tensors["leaf_tree"], minlength=trees)
    inner, words = max(1, int(per_tree.max())), -(-int(leaves.max()) // BITS)
    slot = torch.arange(nodes, device=device) - (per_tree.cumsum(0) - per_tree)[tree]
    order = torch.full((inner, trees), nodes, dtype=torch.int64, device=device)
    order[slot, tree] = place

    leaf = torch.arange(words * BITS, device=device)
    ruled_out = (tensors["first"][:, None] <= leaf) & (leaf < tensors["middle"][:, None])
    bits = (ruled_out.view(nodes, words, BITS).long() << torch.arange(BITS, device=device)).sum(-1)
    masks = torch.full((inner, words, trees, 1), -1, dtype=torch.int64, device=device)
    masks[slot, :, tree, 0] = ~bits
    position = (
        torch.arange(len(tensors["leaf_tree"]), device=device) - (leaves.cumsum(0) - leaves)[tensors["leaf_tree"]]
    )
    values = torch.zeros(trees, words * BITS, dtype=torch.float64, device=device)
    values[tensors["leaf_tree"], position] = tensors["leaf_value"]
    return _Compiled(tuple(numeric), tuple(categorical), order.reshape(-1), masks, values)


def export(
    boosting: HistGradientBoostingClassifier | HistGradientBoostingRegressor,
    rounds: int,
    codes: list[NDArray[np.float64]],
    bounds: list[NDArray[np.float32]],
    classes: int,
    rows: int,
) -> TreesModel:
    """The first `rounds` of a fitted ensemble; `codes` and `bounds` say what the ensemble saw of each column."""
    predictors = [tree for one in boosting._predictors[:rounds] for tree in one]
    names = (
        "node_tree",
        "node_column",
        "threshold",
        "missing_left",
        "category",
        "first",
        "middle",
        "end",
        "leaf_tree",
        "leaf_value",
    )
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
    goes_left, entries = [np.zeros(1, dtype=np.bool_)], 1
    for position, tree in enumerate(predictors):
        inner = tree.nodes[tree.nodes["is_leaf"] == 0]
        leaves = tree.nodes[tree.nodes["is_leaf"] == 1]
        category = np.full(len(inner), -1, dtype=np.int64)
        for i in np.flatnonzero(inner["is_categorical"]):
            members = _goes_left(
                inner[i], tree.raw_left_cat_bitsets[inner["bitset_idx"][i]], codes[inner["feature_idx"][i]]
            )
            goes_left.append(members)
            category[i], entries = entries, entries + len(members)
        parts["node_tree"].append(np.full(len(inner), position, dtype=np.int64))
        parts["node_column"].append(inner["feature_idx"].astype(np.int64))
        parts["threshold"].append(_thresholds(inner, len(codes), bounds))
        parts["missing_left"].append(inner["missing_go_to_left"].astype(np.bool_))
        parts["category"].append(category)
        for name, bound in zip(("first", "middle", "end"), _subtrees(tree.nodes).T, strict=True):
            parts[name].append(bound)
        parts["leaf_tree"].append(np.full(len(leaves), position, dtype=np.int64))
        parts["leaf_value"].append(leaves["value"].astype(np.float64))
    arrays = {name: np.concatenate(pieces) for name, pieces in parts.items()}
    arrays["goes_left"] = np.concatenate(goes_left)
    arrays["base"] = np.asarray(boosting._baseline_prediction, dtype=np.float64).reshape(-1)
    architecture = {
        "cardinalities": [len(code) for code in codes], "classes": classes, "present": [int(c) for c in getattr(boosting, "classes_", ())],
        "rows": rows, "trees": len(predictors),
    }  # fmt: skip
    return TreesModel(architecture, {name: torch.from_numpy(array.copy()) for name, array in arrays.items()})


def _subtrees(nodes: NDArray[Any]) -> NDArray[np.int64]:
    """First leaf, first leaf of the right subtree and leaf after the last of each inner node [I, 3].

    scikit-learn numbers nodes in preorder, so that a subtree's leaves follow one another, and children come after
    their parent.
    """
    leaf = nodes["is_leaf"].astype(np.int64)
    before = np.cumsum(leaf) - leaf
    end = before + leaf
    right = nodes["right"].astype(np.int64)
    for i in np.flatnonzero(leaf == 0)[::-1]:
        end[i] = end[right[i]]
    inner = leaf == 0
    return np.stack([before[inner], before[right[inner]], end[inner]], 1)


def _thresholds(inner: NDArray[Any], categorical: int, bounds: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The values up to which each inner node's numeric column goes left [I]; 0 for a categorical one."""
    found = np.zeros(len(inner), dtype=np.float32)
    for column, own in enumerate(bounds, categorical):
        mine = inner["feature_idx"] == column
        found[mine] = as_values(inner["num_threshold"][mine], own)
    return found


def _goes_left(node: Any, bits: NDArray[np.uint32], codes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each category id goes left: by the node's bit of its code; a missing or unseen one like a missing value."""
    known = ~np.isnan(codes)
    code = np.where(known, codes, 0).astype(np.int64)
    chosen = (bits[code // 32] >> (code % 32).astype(np.uint32)) & 1
    return np.where(known, chosen.astype(np.bool_), bool(node["missing_go_to_left"]))
