"""A fixed model behind a repair of its inputs: rows of some groups are scored as if they came from another distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models.data import Split
from models.learners.learner import Model

ROWS = 4096
"""Rows whose distances are held at once."""


def distances(rows: Split, points: Mapping[str, Tensor]) -> Tensor:
    """Rows [n] and points [S], `numeric` and `categorical` -> the sum of absolute differences and of differing categories [n, S]."""
    found = torch.cdist(rows.numeric.nan_to_num(0.0).double(), points["numeric"].double(), p=1.0)
    for column in range(rows.categorical.shape[1]):
        found += rows.categorical[:, column, None] != points["categorical"][None, :, column]
    return found


class RepairedModel(Model):
    """A model of two classes, and of points [S] of the repaired groups the share that stays and what the rest is scored.

    numeric [S, F], categorical [S, K], group [S]; stays [S], the share of a point's mass that is not moved; moved [S], the
    sum over the points to which the rest is moved of share times the model's probability of class 1 there. A row is moved
    as the nearest point of its group.
    """

    kind = "repaired"

    def __init__(self, model: Model, points: Mapping[str, Tensor]) -> None:
        self._model, self._points = model, dict(points)

    def tensors(self) -> dict[str, Tensor]:
        """Those of the model, and the points."""
        own = {f"points.{k}": v for k, v in self._points.items()}
        return {**{f"model.{k}": v for k, v in self._model.tensors().items()}, **own}

    def architecture(self) -> dict[str, Any]:
        """Kind and architecture of the model."""
        return {"kind": self._model.kind, "architecture": self._model.architecture()}

    @classmethod
    def rebuild(cls, architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> RepairedModel:
        """The inverse of `tensors` and `architecture`."""
        from models.learners import model_class

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        model = model_class(architecture["kind"]).rebuild(architecture["architecture"], part("model."))
        return cls(model, part("points."))

    @torch.no_grad()
    def logits(self, split: Split) -> Tensor:
        """Rows -> logits [n, 2] float32: the mean of the model's probabilities over where a row is moved."""
        points = {k: v.to(split.labels.device) for k, v in self._points.items()}
        before = self._model.logits(split)
        pieces = []
        for rows, own in zip(
            torch.arange(len(split), device=before.device).split(ROWS), before.split(ROWS), strict=True
        ):
            part = split.take(rows)
            theirs = part.groups[:, None] == points["group"][None]
            nearest = distances(part, points).masked_fill(~theirs, torch.inf).argmin(1)
            p = torch.softmax(own.double(), -1)[:, 1] * points["stays"][nearest] + points["moved"][nearest]
            p = p.clamp(1e-12, 1 - 1e-12)
            repaired = torch.stack([torch.log1p(-p), p.log()], 1).float()
            pieces.append(torch.where(theirs.any(1, keepdim=True), repaired, own))
        return torch.cat(pieces) if pieces else before
