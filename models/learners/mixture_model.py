"""Several models as one, each with its share: their probabilities are averaged by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from models.data import Split
from models.learners.learner import Model


class MixtureModel(Model):
    """Models of any kind and their shares, which sum to 1."""

    kind = "mixture"

    def __init__(self, models: Sequence[Model], shares: Sequence[float]) -> None:
        self._models, self._shares = tuple(models), tuple(shares)

    def tensors(self) -> dict[str, Tensor]:
        """Everything learned, by the position of the model and its own name."""
        return {f"{i}.{k}": v for i, model in enumerate(self._models) for k, v in model.tensors().items()}

    def architecture(self) -> dict[str, Any]:
        """Kind, architecture and share of each model."""
        parts = [{"kind": m.kind, "architecture": m.architecture()} for m in self._models]
        return {"parts": parts, "shares": list(self._shares)}

    @classmethod
    def rebuild(cls, architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> MixtureModel:
        """The inverse of `tensors` and `architecture`."""
        from models.learners import model_class

        models = []
        for i, part in enumerate(architecture["parts"]):
            own = {k.removeprefix(f"{i}."): v for k, v in tensors.items() if k.startswith(f"{i}.")}
            models.append(model_class(part["kind"]).rebuild(part["architecture"], own))
        return cls(models, architecture["shares"])

    def logits(self, split: Split) -> Tensor:
        """Rows -> the logarithm of the mean probabilities [n, C] float32."""
        parts = [torch.log_softmax(model.logits(split).double(), -1) for model in self._models]
        shares = torch.tensor(self._shares, dtype=torch.float64, device=parts[0].device)
        return torch.logsumexp(torch.stack(parts) + shares.log()[:, None, None], 0).float()
