"""SAM: step along the gradient that is found a little uphill, which prefers flat minima."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, GradientTransform, Need, Source, State, Task, Update, hyper


def uphill(parameters: State, gradients: State, radius: float | Tensor) -> State:
    """w + radius g / |g|, the norm over all parameters."""
    norm = torch.stack([g.square().sum() for g in gradients.values()]).sum().clamp(min=1e-24).sqrt()
    return {k: p + radius * gradients[k] / norm for k, p in parameters.items()}


@dataclass(frozen=True)
class SAM(GradientTransform):
    """Sharpness-aware minimization under AdamW: the gradient is that of the weights a step uphill."""

    radius: float | Tensor = hyper(0.05, 0.01, 0.5, log=True, minimum=0.0, maximum=10.0)

    name: ClassVar[str] = "sam"
    formula: ClassVar[str] = "g = grad L(w + radius grad L(w) / |grad L(w)|)"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"net"})
    looks_ahead: ClassVar[bool] = True
    cost: ClassVar[str] = "A step takes a second forward and backward pass, at weights a step uphill."
    source: ClassVar[Source] = Source(
        "Sharpness-Aware Minimization for Efficiently Improving Generalization",
        "P. Foret, A. Kleiner, H. Mobahi, B. Neyshabur",
        2020,
        "arXiv:2010.01412",
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source(
            "Escaping Saddle Points for Effective Generalization on Class-Imbalanced Data",
            "H. Rangwani et al.",
            2022,
            "arXiv:2212.13827",
        ),
    )
    claim: ClassVar[Claim] = Claim("is robust to wrong labels", "noisy_labels", "accuracy", values={"radius": 0.5})

    def look(self, gradients: State, parameters: State) -> State:
        """The parameters a step of length `radius` uphill."""
        return uphill(parameters, gradients, self.radius)

    def transform(self, state: State, gradients: State, parameters: State, progress: Tensor) -> Update:
        """The gradients found there, as they are."""
        return Update(gradients, {}, state)
