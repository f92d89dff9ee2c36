"""Nearest class mean: decide for the class whose mean feature points the same way as the row's."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Correction, Source, State, TrainedNet, WeightAdjuster
from models.balancing.schedule.crt import SOURCE
from models.data import Split, Statistics, one_hot


def class_means(features: Tensor, labels: Tensor, weights: Tensor, classes: int) -> Tensor:
    """Features [n, H] -> the weighted mean of each class [C, H]; zero for a class without rows."""
    member = one_hot(labels, classes) * weights[:, None]
    return member.T @ features / member.sum(0).clamp(min=1e-12)[:, None]


@dataclass(frozen=True)
class NearestClassMean(WeightAdjuster):
    """Replace the classifier by the cosine to the mean feature of each class over the training rows."""

    name: ClassVar[str] = "nearest_class_mean"
    formula: ClassVar[str] = "decide argmax_c <mu_c, f> / (|mu_c| |f|), mu_c = mean feature of class c"
    corrects_prior: ClassVar[Correction] = "wholly"
    replaces_classifier: ClassVar[bool] = True
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes without a classifier", "long_tail", "balanced_accuracy"
    )

    def reweigh(
        self, net: TrainedNet, train: Split, statistics: Statistics, generator: torch.Generator
    ) -> tuple[str | None, State]:
        """The class means as the weights of a cosine classifier."""
        return "cosine", {"weight": class_means(net.features(train), train.labels, train.weights, train.classes)}
