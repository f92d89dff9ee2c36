"""A forest in which a row may take the other branch at every node: the mean over all ways through its trees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.data import Split
from models.learners.forest_model import ForestModel, design, spread_over
from models.learners.learner import Model

CELLS = 1 << 18
"""Rows x nodes that are evaluated at once."""
MOST = 0.5
"""No branch is left more often than it is taken."""


def flips(distance: Tensor, flip: float, scale: float) -> Tensor:
    """max(flip - distance / scale, 0), at most a half: how often a row so far from the threshold takes the other branch."""
    return (flip - distance / scale).clamp_(0, MOST)


class SimulatedForest(Model):
    """A forest's arrays, and what says where a row leaves its way.

    protected [N] bool: the node asks for the protected attribute; unfavourable_left [N] bool: its left child has the
    larger share of class 0; unprivileged [G] bool. `architecture` is the forest's, with `flip`, `factor` and `scale`.
    """

    kind = "simulated_forest"

    def __init__(self, architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self._architecture = dict(architecture)
        self._tensors = dict(tensors)
        self._levels = _levels(self._tensors)

    @classmethod
    def of(
        cls, forest: ForestModel, protected: Tensor, unprivileged: Tensor, flip: float, factor: float, scale: float
    ) -> SimulatedForest:
        """`protected` says of the columns of `design` whether they tell the attribute; the forest has two classes."""
        t = forest.tensors()
        shares = t["value"][:, 0] / t["value"].sum(1).clamp(min=1e-300)
        own = {
            "protected": protected[t["column"]] & (t["left"] != t["right"]),
            "unfavourable_left": shares[t["left"]] >= shares[t["right"]],
            "unprivileged": unprivileged,
        }
        return cls({**forest.architecture(), "flip": flip, "factor": factor, "scale": scale}, {**t, **own})

    def tensors(self) -> dict[str, Tensor]:
        """The arrays by name."""
        return dict(self._tensors)

    def architecture(self) -> dict[str, Any]:
        """That of the forest, with `flip`, `factor` and `scale`."""
        return dict(self._architecture)

    @classmethod
    def rebuild(cls, architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> SimulatedForest:
        """The inverse of `tensors` and `architecture`."""
        return cls(architecture, tensors)

    @torch.no_grad()
    def shares(self, split: Split) -> Tensor:
        """Rows -> the mean of the reached leaves' class shares [n, C present] float64, over all ways and trees."""
        a, device = self._architecture, split.labels.device
        t = {k: v.to(device) for k, v in self._tensors.items()}
        levels = [_Level.of(at.to(device), t) for at in self._levels]
        widest = max(len(level.column) + len(level.leaves) for level in levels)
        pieces = []
        for rows in torch.arange(len(split), device=device).split(max(1, CELLS // widest)):
            columns = design(split.take(rows), a["indicators"]).T.contiguous()
            unprivileged = t["unprivileged"][split.groups[rows]]
            total = torch.zeros(len(rows), t["value"].shape[1], dtype=torch.float64, device=device)
            mass = torch.ones(len(t["root"]), len(rows), device=device)
            for level in levels:
                total += mass[level.leaves].double().T @ level.values
                distance = columns[level.column].sub_(level.threshold)
                left = distance <= 0
                p = flips(distance.abs_(), a["flip"], a["scale"])
                own = level.protected
                worse = (left[own] == level.unfavourable_left) & unprivileged
                p[own] = torch.where(worse, (p[own] * a["factor"]).clamp(max=MOST), p[own])
                here = mass[level.inner]
                goes_left = torch.where(left, here - here * p, here * p)
                mass = torch.cat([goes_left, here - goes_left])
            pieces.append(total)
        return torch.cat(pieces)

    def logits(self, split: Split) -> Tensor:
        """Rows -> logits [n, C] float32; no probability is below about half a row's."""
        a = self._architecture
        return spread_over(self.shares(split), a["present"], a["classes"], a["rows"])


class _Level(NamedTuple):
    """The nodes of one depth in all trees: which of them are leaves and what those add, what the inner ones [k, 1] ask, and
    which of these ask for the protected attribute."""

    leaves: Tensor
    values: Tensor
    inner: Tensor
    column: Tensor
    threshold: Tensor
    protected: Tensor
    unfavourable_left: Tensor

    @classmethod
    def of(cls, at: Tensor, t: Mapping[str, Tensor]) -> _Level:
        """Of the nodes at this depth, in the order in which their parents come, left children first."""
        is_leaf = t["left"][at] == t["right"][at]
        leaves, inner = torch.nonzero(is_leaf)[:, 0], torch.nonzero(~is_leaf)[:, 0]
        own = at[inner]
        protected = torch.nonzero(t["protected"][own])[:, 0]
        return cls(
            leaves, t["value"][at[leaves]], inner, t["column"][own], t["threshold"][own][:, None],
            protected, t["unfavourable_left"][own[protected]][:, None],
        )  # fmt: skip


def _levels(tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """The nodes by depth, of all trees together, leaves included."""
    at, levels = tensors["root"], []
    while len(at):
        levels.append(at)
        at = at[tensors["left"][at] != tensors["right"][at]]
        at = torch.cat([tensors["left"][at], tensors["right"][at]])
    return levels
