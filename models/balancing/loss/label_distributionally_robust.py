"""LDR-KL: the worst distribution of labels near the uniform one; ALDR-KL: with a temperature that each row finds."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Loss, Source, State, hyper
from models.data import Batch

SOURCE = Source(
    "Label Distributionally Robust Losses for Multi-class Classification: Consistency, Robustness and Adaptivity",
    "D. Zhu, Y. Ying, T. Yang",
    2021,
    "arXiv:2112.14869",
)

ALTERNATIONS = 5
"""How often the temperature and the worst distribution are found in turn."""


def robust_margin(logits: Tensor, targets: Tensor, temperature: float | Tensor, margin: float | Tensor) -> Tensor:
    """l log((1/C) sum_k exp((z_k - z_y + m [k != y]) / l)) per row [B]; l a number, or one per row [B, 1].

    l -> infinity is the mean of z_k - z_y + m [k != y], l -> 0 the largest (the multi-class hinge), l 1 and m 0
    cross-entropy less log C.
    """
    shifted = (logits + margin * (1 - targets)) / temperature
    spread = torch.logsumexp(shifted, -1, keepdim=True) - math.log(logits.shape[-1])
    return (temperature * spread).squeeze(-1) - (targets * logits).sum(-1)


def adapted_temperature(
    logits: Tensor, targets: Tensor, start: float | Tensor, price: float | Tensor, margin: float | Tensor
) -> Tensor:
    """The temperature of each row [B, 1], where l = start - KL(p_l || 1/C) / price, p_l = softmax((z + m [k != y]) / l).

    There the derivative of l log((1/C) sum_k exp(gap_k / l)) - price (l - start)^2 / 2 by l vanishes. Found from `start`
    down by alternating l and p, a few times; no gradient.
    """
    shifted = (logits + margin * (1 - targets)).detach()
    temperature = start * torch.ones_like(shifted[..., :1])
    for _ in range(ALTERNATIONS):
        log_p = torch.log_softmax(shifted / temperature, -1)
        divergence = math.log(logits.shape[-1]) + (log_p.exp() * log_p).sum(-1, keepdim=True)
        temperature = start - divergence / price
    return temperature


@dataclass(frozen=True)
class LabelDistributionallyRobust(Loss):
    """The KL member of the family; its temperature trades consistency against robustness to wrong labels."""

    temperature: float | Tensor = hyper(1.0, 0.1, 10.0, log=True, minimum=1e-4, maximum=1e4)
    margin: float | Tensor = hyper(0.1, 0.0, 1.0, minimum=0.0, maximum=100.0)

    name: ClassVar[str] = "ldr_kl"
    formula: ClassVar[str] = "L = l log((1/C) sum_k exp((z_k - z_y + m [k != y]) / l))"
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "is robust to wrong labels at a large temperature", "noisy_labels", "accuracy", values={"temperature": 10.0}
    )

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        return robust_margin(logits, batch.targets, self.temperature, self.margin)


@dataclass(frozen=True)
class AdaptiveLabelDistributionallyRobust(Loss):
    """ALDR-KL: each row has the temperature that maximizes its loss, less a price for straying from `start`.

    A row of which the net is unsure keeps a temperature near `start`, one of which it is sure gets a lower one. With a
    `price` above 1, in units of log C / start, no temperature falls to 0; as it grows the loss becomes `ldr_kl`.
    """

    start: float | Tensor = hyper(1.0, 0.1, 10.0, log=True, minimum=1e-2, maximum=1e4)
    price: float | Tensor = hyper(2.0, 1.1, 10.0, log=True, minimum=1.01, maximum=1e6)
    margin: float | Tensor = hyper(0.1, 0.0, 1.0, minimum=0.0, maximum=100.0)

    name: ClassVar[str] = "aldr_kl"
    formula: ClassVar[str] = (
        "L = max_l l log((1/C) sum_k exp((z_k - z_y + m [k != y]) / l)) - a (l - l0)^2 / 2, a = price log C / l0"
    )
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "resists wrong labels from a large temperature on", "noisy_labels", "accuracy", values={"start": 10.0}
    )

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        price = self.price * math.log(logits.shape[-1]) / self.start
        temperature = adapted_temperature(logits, batch.targets, self.start, price, self.margin)
        strayed = (temperature - self.start).squeeze(-1)
        robust = robust_margin(logits, batch.targets, temperature, self.margin)
        return robust - price * strayed.square() / 2
