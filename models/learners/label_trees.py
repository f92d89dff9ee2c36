"""One boosted ensemble per label as one model: each says whether a row carries its label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from models.data import Split
from models.learners.learner import Model
from models.learners.trees_model import TreesModel


class LabelTrees(Model):
    """Ensembles of two classes each, in the order of the labels."""

    kind = "label_trees"

    def __init__(self, ensembles: Sequence[TreesModel]) -> None:
        self._ensembles = tuple(ensembles)

    @property
    def ensembles(self) -> tuple[TreesModel, ...]:
        """One for each label, in their order."""
        return self._ensembles

    def logits(self, split: Split) -> Tensor:
        """Rows -> the log-odds of each label [n, L] float32."""
        return self.logits_of([ensemble.raw(split) for ensemble in self._ensembles])

    def logits_of(self, raw: Sequence[Tensor]) -> Tensor:
        """Raw predictions of each label's ensemble [n, K] float64 -> the log-odds of each label [n, L] float32."""
        each = [ensemble.logits_of(one) for ensemble, one in zip(self._ensembles, raw, strict=True)]
        return torch.stack([logits[:, 1] - logits[:, 0] for logits in each], 1)

    def tensors(self) -> dict[str, Tensor]:
        """The arrays of each ensemble, by its number and their names."""
        return {f"{i}.{name}": v for i, one in enumerate(self._ensembles) for name, v in one.tensors().items()}

    def architecture(self) -> dict[str, Any]:
        """The architecture of each ensemble."""
        return {"ensembles": [ensemble.architecture() for ensemble in self._ensembles]}

    @classmethod
    def rebuild(cls, architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> LabelTrees:
        """The inverse of `tensors` and `architecture`."""

        def own(i: int) -> dict[str, Tensor]:
            return {k.removeprefix(f"{i}."): v for k, v in tensors.items() if k.startswith(f"{i}.")}

        return cls([TreesModel.rebuild(one, own(i)) for i, one in enumerate(architecture["ensembles"])])
