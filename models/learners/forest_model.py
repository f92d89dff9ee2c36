"""A sum of decision trees as plain tensors: read out of scikit-learn, saved without pickle, evaluated on any device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.balancing.growing import Votes
from models.data import Split
from models.learners.learner import Model

CELLS = 1 << 18
"""Rows x trees that are evaluated at once."""

MOST_IDS = 32
"""Category ids per column that get an indicator of their own: the most frequent ones."""


def indicators(categories: Tensor, cardinalities: Sequence[int]) -> list[tuple[int, int]]:
    """(column, id) of every category that gets an indicator column: the most frequent ids (ties: lower id)."""
    found = []
    for column, cardinality in enumerate(cardinalities):
        counts = torch.bincount(categories[:, column].cpu(), minlength=cardinality).numpy()
        ids = [int(i) for i in np.argsort(-counts, kind="stable")[:MOST_IDS] if counts[i] > 0]
        found += [(column, i) for i in sorted(ids)]
    return found


def design(split: Split, indicated: Sequence[Sequence[int]]) -> Tensor:
    """The rows as decision trees see them [n, D] float32: indicators of categories, then numbers (0 where missing)."""
    places = torch.tensor(indicated, dtype=torch.int64, device=split.labels.device).reshape(-1, 2)
    ones = split.categorical[:, places[:, 0]] == places[:, 1]
    return torch.cat([ones.float(), split.numeric.nan_to_num(0.0)], 1)


class ForestModel(Model):
    """Trees as arrays over all their nodes [N]: column, threshold, left and right child (a leaf's are itself), value [N, C].

    `column` int64 counts the columns of `design`, `threshold` float32: a number goes left up to here; `left` and `right`
    int64; `value` float64, what a row that ends here adds for each class with training rows; `root` [T] int64.
    """

    kind = "forest"

    def __init__(self, architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self._architecture = dict(architecture)
        self._tensors = dict(tensors)

    def tensors(self) -> dict[str, Tensor]:
        """The arrays by name."""
        return dict(self._tensors)

    def architecture(self) -> dict[str, Any]:
        """`indicators`; `classes`; `present`, the classes with training rows; `rows`; `depth`; `link` of the sum."""
        return dict(self._architecture)

    @classmethod
    def rebuild(cls, architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> ForestModel:
        """The inverse of `tensors` and `architecture`."""
        return cls(architecture, tensors)

    @torch.no_grad()
    def sums(self, split: Split) -> Tensor:
        """Rows -> the sum of the trees' values [n, C present] float64."""
        t = {k: v.to(split.labels.device) for k, v in self._tensors.items()}
        pieces, trees = [], len(t["root"])
        for rows in torch.arange(len(split), device=split.labels.device).split(max(1, CELLS // max(1, trees))):
            columns = design(split.take(rows), self._architecture["indicators"]).T.contiguous()
            every = torch.arange(len(rows), device=rows.device)
            node = t["root"][:, None].expand(-1, len(rows))
            for _ in range(self._architecture["depth"]):
                left = columns[t["column"][node], every] <= t["threshold"][node]
                node = torch.where(left, t["left"][node], t["right"][node])
            total = torch.zeros(len(rows), t["value"].shape[1], dtype=torch.float64, device=rows.device)
            for reached in node:
                total += t["value"][reached]
            pieces.append(total)
        return torch.cat(pieces)

    def logits(self, split: Split) -> Tensor:
        """Rows -> logits [n, C] float32; no probability is below about half a row's."""
        sums = self.sums(split)
        p = torch.softmax(sums, -1) if self._architecture["link"] == "softmax" else sums
        return spread_over(p, self._architecture["present"], self._architecture["classes"], self._architecture["rows"])


def spread_over(probabilities: Tensor, present: Sequence[int], classes: int, rows: int) -> Tensor:
    """Probabilities of the present classes -> log-probabilities [n, C] float32 of all, none below half a row's."""
    least = 1 / (2 * max(1, rows))
    whole = probabilities.new_full((len(probabilities), classes), least)
    whole[:, list(present)] = probabilities.clamp(min=least)
    return (whole / whole.sum(1, keepdim=True)).log().float()


def rounded_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 not above each threshold: float32 values compare with it as with the threshold itself."""
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def constant(label: int, present: Sequence[int], classes: int, rows: int) -> ForestModel:
    """A model of one leaf, which always decides for one of the present classes."""
    value = np.eye(len(present))[[label]]
    arrays: dict[str, NDArray[Any]] = {
        "column": np.zeros(1, np.int64), "threshold": np.zeros(1, np.float32), "left": np.zeros(1, np.int64),
        "right": np.zeros(1, np.int64), "value": value, "root": np.zeros(1, np.int64),
    }  # fmt: skip
    architecture = {
        "indicators": [], "classes": classes, "present": list(present), "rows": rows, "depth": 0, "link": "share",
    }  # fmt: skip
    return ForestModel(architecture, {name: torch.from_numpy(array) for name, array in arrays.items()})


def export_votes(
    votes: Votes, indicated: Sequence[tuple[int, int]], present: Sequence[int], classes: int, rows: int
) -> ForestModel:
    """The fitted trees of a sum, with what their nodes add."""
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in ("column", "threshold", "left", "right", "value")}
    roots, start, depth = [], 0, 0
    for tree, value in zip(votes.trees, votes.values, strict=True):
        found = tree.tree_
        own = np.arange(found.node_count)
        leaf = found.children_left < 0
        parts["column"].append(np.where(leaf, 0, found.feature).astype(np.int64))
        parts["threshold"].append(rounded_down(np.where(leaf, 0.0, found.threshold)))
        parts["left"].append(start + np.where(leaf, own, found.children_left).astype(np.int64))
        parts["right"].append(start + np.where(leaf, own, found.children_right).astype(np.int64))
        parts["value"].append(np.asarray(value, dtype=np.float64))
        roots.append(start)
        start, depth = start + found.node_count, max(depth, int(found.max_depth))
    arrays = {name: np.concatenate(pieces) for name, pieces in parts.items()}
    arrays["root"] = np.array(roots, dtype=np.int64)
    architecture = {
        "indicators": [list(pair) for pair in indicated], "classes": classes, "present": list(present), "rows": rows,
        "depth": depth, "link": votes.link,
    }  # fmt: skip
    return ForestModel(architecture, {name: torch.from_numpy(array.copy()) for name, array in arrays.items()})
