"""DFR: retrain the last layer alone, on rows in which every class and group is equally frequent."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from models.balancing.component import Claim, Correction, Need, Source, State, TrainedNet, WeightAdjuster, hyper
from models.data import Split, Statistics

SUBSETS = 10
"""Balanced subsets whose classifiers are averaged, as published."""


def balanced_subset(labels: Tensor, groups: Tensor, generator: torch.Generator) -> Tensor:
    """Positions of as many rows of every cell of class and group that has rows as its smallest one holds."""
    cells = labels * (int(groups.max()) + 1) + groups
    rows = [torch.nonzero(cells == cell).squeeze(1) for cell in torch.unique(cells)]
    size = min(len(r) for r in rows)
    return torch.cat([r[torch.randperm(len(r), generator=generator)[:size].to(r.device)] for r in rows])


def l1_logistic(
    features: np.ndarray, labels: np.ndarray, classes: int, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights [C, H] and biases [C] of an L1-regularized logistic regression; a class without rows gets a bias of -30."""
    from sklearn.linear_model import LogisticRegression

    present = np.unique(labels)
    solver = "liblinear" if len(present) == 2 else "saga"
    model = LogisticRegression(l1_ratio=1.0, C=strength, solver=solver, max_iter=1000, tol=1e-3, random_state=0)
    model.fit(features, labels)
    weight, bias = np.zeros((classes, features.shape[1])), np.full(classes, -30.0)
    bias[present] = 0.0
    if len(present) == 2:
        weight[present[1]], bias[present[1]] = model.coef_[0], model.intercept_[0]
    else:
        weight[present], bias[present] = model.coef_, model.intercept_
    return weight, bias


@dataclass(frozen=True)
class LastLayerRetraining(WeightAdjuster):
    """Deep feature re-weighting on balanced subsets of the training rows (the variant DFR-Tr): no other rows are spent. Rows count alike."""

    strength: float | Tensor = hyper(0.1, 0.003, 1.0, log=True, minimum=1e-6, maximum=1e6)

    name: ClassVar[str] = "last_layer_retraining"
    formula: ClassVar[str] = (
        "(W, b) = mean over class x group balanced subsets of argmin sum_i CE(W f_i + b) + |W|_1 / strength, f standardized"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"net", "groups"})
    corrects_prior: ClassVar[Correction] = "wholly"
    linear_only: ClassVar[bool] = True
    source: ClassVar[Source] = Source(
        "Last Layer Re-Training is Sufficient for Robustness to Spurious Correlations",
        "P. Kirichenko, P. Izmailov, A. G. Wilson",
        2022,
        "arXiv:2204.02937",
    )
    claim: ClassVar[Claim] = Claim(
        "raises worst-group accuracy by training the last layer anew on balanced rows",
        "spurious",
        "worst_group_accuracy",
    )

    def reweigh(
        self, net: TrainedNet, train: Split, statistics: Statistics, generator: torch.Generator
    ) -> tuple[str | None, State]:
        """The mean classifier over the subsets, for features as the net gives them."""
        features = net.features(train).double()
        mean, deviation = features.mean(0), features.std(0).clamp(min=1e-6)
        scaled, labels = ((features - mean) / deviation).cpu().numpy(), train.labels.cpu().numpy()
        weight, bias = np.zeros((train.classes, scaled.shape[1])), np.zeros(train.classes)
        for _ in range(SUBSETS):
            rows = balanced_subset(train.labels, train.groups, generator).cpu().numpy()
            w, b = l1_logistic(scaled[rows], labels[rows], train.classes, float(self.strength))
            weight, bias = weight + w / SUBSETS, bias + b / SUBSETS
        learned = torch.from_numpy(weight).to(deviation.device) / deviation
        shift = torch.from_numpy(bias).to(deviation.device) - learned @ mean
        return net.head, {"weight": learned.float(), "bias": shift.float()}
