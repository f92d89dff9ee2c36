"""Tau-normalization: shrink the norms of the class weights, which grow with the number of rows of their class."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Correction, Source, State, TrainedNet, WeightAdjuster, hyper
from models.balancing.schedule.crt import SOURCE
from models.data import Split, Statistics


def tau_normalized(weight: Tensor, tau: float | Tensor) -> Tensor:
    """Class weights [C, H] -> w_c / |w_c|^tau; tau 0 leaves them, tau 1 makes them unit vectors."""
    norm = weight.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    return weight / norm**tau


@dataclass(frozen=True)
class TauNormalization(WeightAdjuster):
    """Normalize the weights of the trained classifier; its biases are discarded, as published."""

    tau: float | Tensor = hyper(0.7, 0.0, 1.0, minimum=0.0, maximum=2.0)

    name: ClassVar[str] = "tau_normalization"
    formula: ClassVar[str] = "z_c = <w_c / |w_c|^tau, f>"
    corrects_prior: ClassVar[Correction] = "partly"
    linear_only: ClassVar[bool] = True
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes by evening out the norms of the class weights",
        "long_tail",
        "balanced_accuracy",
    )

    def reweigh(
        self, net: TrainedNet, train: Split, statistics: Statistics, generator: torch.Generator
    ) -> tuple[str | None, State]:
        """The normalized weights, without biases."""
        weight = tau_normalized(net.classifier["weight"], self.tau)
        return net.head, {"weight": weight, "bias": torch.zeros_like(net.classifier["bias"])}
