"""Asymmetric loss: positives and negatives are focused differently, and very easy negatives are dropped."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Loss, Source, State, Task, hyper
from models.data import Batch

SOURCE = Source(
    "Asymmetric Loss For Multi-Label Classification",
    "E. Ben-Baruch, T. Ridnik, N. Zamir, A. Noy, I. Friedman, M. Protter, L. Zelnik-Manor",
    2020,
    "arXiv:2009.14119",
)

SMALLEST = 1e-8


def power(base: Tensor, exponent: float | Tensor) -> Tensor:
    """base^exponent for base in [0, 1], with a finite gradient at 0."""
    return torch.exp(exponent * base.clamp(min=SMALLEST).log())


def asymmetric(
    p: Tensor, targets: Tensor, positive: float | Tensor, negative: float | Tensor, shift: float | Tensor
) -> Tensor:
    """-t (1-p)^positive log p - (1-t) m^negative log(1-m), m = max(p - shift, 0), elementwise; p, targets in [0, 1]."""
    shifted = (p - shift).clamp(min=0)
    hit = power(1 - p, positive) * p.clamp(min=SMALLEST).log()
    miss = power(shifted, negative) * (1 - shifted).clamp(min=SMALLEST).log()
    return -targets * hit - (1 - targets) * miss


def asymmetric_single_label(
    logits: Tensor, targets: Tensor, positive: float | Tensor, negative: float | Tensor, smoothing: float | Tensor
) -> Tensor:
    """-sum_c s_c w_c log p_c per row [B], w = (1-p)^positive where t = 1, p^negative where t = 0, s the smoothed target."""
    log_p = torch.log_softmax(logits, -1)
    p = log_p.exp()
    focus = targets * power(1 - p, positive) + (1 - targets) * power(p, negative)
    smoothed = targets * (1 - smoothing) + smoothing / logits.shape[-1]
    return -(smoothed * focus * log_p).sum(-1)


@dataclass(frozen=True)
class Asymmetric(Loss):
    """The loss of each label, summed; for two classes that of class 1, the positive."""

    positive: float | Tensor = hyper(0.0, 0.0, 2.0, minimum=0.0, maximum=20.0)
    negative: float | Tensor = hyper(4.0, 0.0, 6.0, minimum=0.0, maximum=20.0)
    shift: float | Tensor = hyper(0.05, 0.0, 0.2, minimum=0.0, maximum=0.9)

    name: ClassVar[str] = "asymmetric"
    formula: ClassVar[str] = "L = -t (1-p)^g+ log p - (1-t) m^g- log(1-m), m = max(p - shift, 0)"
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary", "multilabel"})
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "finds more of the rare positives by pressing easy negatives down", "rare_positive", "balanced_accuracy"
    )

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, 2], or one per label [B, L] -> loss per row [B]."""
        if batch.task == "multilabel":
            p = torch.sigmoid(logits)
            return asymmetric(p, batch.targets, self.positive, self.negative, self.shift).sum(-1)
        p = torch.softmax(logits, -1)[..., 1]
        return asymmetric(p, batch.targets[..., 1], self.positive, self.negative, self.shift)


@dataclass(frozen=True)
class AsymmetricSingleLabel(Loss):
    """The published form for one label among several classes, over softmax probabilities with smoothed targets."""

    positive: float | Tensor = hyper(0.0, 0.0, 2.0, minimum=0.0, maximum=20.0)
    negative: float | Tensor = hyper(4.0, 0.0, 6.0, minimum=0.0, maximum=20.0)
    smoothing: float | Tensor = hyper(0.1, 0.0, 0.2, minimum=0.0, maximum=0.9)

    name: ClassVar[str] = "asymmetric_single_label"
    formula: ClassVar[str] = "L = -sum_c s_c w_c log p_c, w_y = (1-p_y)^g+, w_c = p_c^g-, s = (1-e) t + e / C"
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "keeps frequent classes' easy rows from dominating", "long_tail", "balanced_accuracy"
    )

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        return asymmetric_single_label(logits, batch.targets, self.positive, self.negative, self.smoothing)
