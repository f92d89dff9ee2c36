"""Per-class normalized gradient descent: every class pulls with the same force."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, GradientTransform, Need, Source, State, Update, hyper


def normalized_sum(gradients: State) -> State:
    """Gradients by name, one per class [C, …] -> sum_c g_c / |g_c|, the norm over all parameters; a class with no gradient adds none."""
    squares = [g.reshape(g.shape[0], -1).square().sum(-1) for g in gradients.values()]
    norms = torch.stack(squares).sum(0).clamp(min=1e-24).sqrt()
    return {k: (g / norms.reshape(-1, *[1] * (g.dim() - 1))).sum(0) for k, g in gradients.items()}


@dataclass(frozen=True)
class PerClassNormalized(GradientTransform):
    """PCNGD on mini-batches: plain steps along the sum of the unit gradients of the classes, without momentum.

    The step's length is `size` times the square root of the number of parameters over the number of classes, so that
    the learning rate means about what it means to AdamW; to the method that is a constant. As all classes count alike in a step,
    they do in what validation rows say of an epoch.
    """

    size: float | Tensor = hyper(0.2, 0.02, 2.0, log=True, minimum=0.0, maximum=100.0)

    name: ClassVar[str] = "per_class_normalized"
    formula: ClassVar[str] = "theta <- theta - rate sum_c g_c / |g_c|, g_c the gradient of the mean loss of class c"
    needs: ClassVar[frozenset[Need]] = frozenset({"net"})
    per_class: ClassVar[bool] = True
    cost: ClassVar[str] = "A step takes a backward pass for each class."
    source: ClassVar[Source] = Source(
        "A Theoretical Analysis of the Learning Dynamics under Class Imbalance",
        "E. Francazi, M. Baity-Jesi, A. Lucchi",
        2022,
        "arXiv:2207.00391",
    )
    claim: ClassVar[Claim] = Claim(
        "lets every class pull with the same force, where a step sees all rows", "whole_batch", "balanced_accuracy"
    )

    def transform(self, state: State, gradients: State, parameters: State, progress: Tensor) -> Update:
        """Directions for all parameters."""
        count = sum(p.numel() for p in parameters.values())
        classes = next(iter(gradients.values())).shape[0]
        length = self.size * count**0.5 / classes
        return Update({}, {k: length * g for k, g in normalized_sum(gradients).items()}, state)
