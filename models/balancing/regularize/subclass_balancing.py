"""Subclass-balancing contrastive loss: frequent classes are cut into clusters as small as rare classes, and contrasted at both levels."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.clustering import cluster
from models.balancing.component import Claim, Regularizer, Source, State, View, hyper
from models.data import Batch, Statistics

SMALLEST_CLUSTER = 10
"""No cluster is meant to be smaller, however rare the rarest class is, as released with the paper."""

REFRESHES = 10
"""How often in a training the rows are clustered anew."""


def contrast(similarity: Tensor, positives: Tensor, against: Tensor) -> Tensor:
    """-(1/|P|) sum_(j in P) log e^s_ij / sum_(k in against) e^s_ik per row [B]; 0 where P is empty.

    similarity [B, B], positives and against [B, B] bool, positives among `against`.
    """
    whole = torch.logsumexp(torch.where(against, similarity, -1e9), -1, keepdim=True)
    mean = (positives * (similarity - whole)).sum(-1) / positives.sum(-1).clamp(min=1)
    return -mean


def subclass_contrast(
    features: Tensor, labels: Tensor, subclasses: Tensor, first: float | Tensor, second: Tensor, share: float | Tensor
) -> Tensor:
    """The mean over rows of the contrast to the own subclass, and `share` times that to the rest of the class.

    The second level leaves the own subclass out of the comparison, and has a temperature for each row's class, `second` [B].
    """
    unit = torch.nn.functional.normalize(features, dim=-1)
    cosine = unit @ unit.mT
    others = ~torch.eye(labels.shape[-1], dtype=torch.bool, device=labels.device)
    same = labels[:, None] == labels[None, :]
    near = same & (subclasses[:, None] == subclasses[None, :])
    own = contrast(cosine / first, near & others, others)
    rest = contrast(cosine / second[:, None], same & ~near, ~near)
    return (own + share * rest).mean()


def subclass_counts(class_counts: Tensor) -> list[int]:
    """Clusters of each class: its rows over those of the rarest class that occurs, at least one."""
    occurring = [int(n) for n in class_counts if n > 0]
    size = max(min(occurring, default=1), SMALLEST_CLUSTER)
    return [max(1, int(n) // size) for n in class_counts]


@dataclass(frozen=True)
class SubclassBalancing(Regularizer):
    """Beside the classifier's loss; the paper trains the representation by it alone and a classifier afterwards (`crt`).

    Until the first clustering every class is one cluster, and the loss is the supervised contrastive one. Clusters are
    found in feature space ten times in a training. The second level's temperature is higher for classes whose rows lie scattered.
    """

    strength: float | Tensor = hyper(0.3, 0.03, 3.0, log=True, minimum=0.0, maximum=1000.0)
    temperature: float | Tensor = hyper(0.1, 0.05, 1.0, log=True, minimum=1e-3, maximum=100.0)
    share: float | Tensor = hyper(0.25, 0.1, 1.0, minimum=0.0, maximum=100.0)
    warm_up: float = hyper(0.1, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "subclass_balancing"
    formula: ClassVar[str] = (
        "L + strength mean_i (con(own subclass | all; T) + share con(rest of the class | all but own subclass; T_class))"
    )
    surveys: ClassVar[bool] = True
    cost: ClassVar[str] = (
        "A step compares all pairs of rows of the batch twice, and ten times in a training all training rows pass through the net to be clustered."
    )
    source: ClassVar[Source] = Source(
        "Subclass-balancing Contrastive Learning for Long-tailed Recognition",
        "C. Hou, J. Zhang, H. Wang, T. Zhou",
        2023,
        "arXiv:2306.15925",
    )
    claim: ClassVar[Claim] = Claim(
        "keeps frequent classes from taking the feature space", "separable_tail", "balanced_accuracy"
    )

    def init(self, statistics: Statistics, features: int) -> State:
        """The subclass of every training row [n], the scatter of each class [C], and how often it was clustered []."""
        return {
            "subclass": torch.zeros(statistics.rows, dtype=torch.long),
            "scatter": torch.ones(statistics.classes),
            "refreshed": torch.zeros((), dtype=torch.long),
        }

    def survey(self, state: State, view: View) -> State:
        """New clusters, when it is time."""
        due = (
            int((view.progress - self.warm_up) / (1 - self.warm_up) * REFRESHES) + 1
            if view.progress >= self.warm_up
            else 0
        )
        if due <= int(state["refreshed"]):
            return state
        seen = view.train()
        counts = subclass_counts(torch.bincount(seen.labels, minlength=view.statistics.classes))
        subclass, scatter = state["subclass"].clone(), torch.ones_like(state["scatter"])
        for label, count in enumerate(counts):
            rows = torch.nonzero(seen.labels == label).squeeze(1)
            if len(rows) == 0:
                continue
            own = seen.features[rows]
            subclass[rows] = cluster(own, count, view.generator)
            distance = (own - own.mean(0)).norm(dim=-1).mean()
            scatter[label] = distance / math.log(len(rows) + 10)
        return {
            "subclass": subclass,
            "scatter": relative_scatter(scatter, torch.tensor(counts, device=scatter.device) > 1),
            "refreshed": torch.full_like(state["refreshed"], due),
        }

    def penalty(
        self, state: State, features: Tensor, logits: Tensor, batch: Batch, progress: Tensor
    ) -> tuple[Tensor, State]:
        """The loss of the batch's features."""
        second = self.temperature * state["scatter"][batch.labels]
        subclasses = state["subclass"][batch.rows]
        loss = subclass_contrast(features, batch.labels, subclasses, self.temperature, second, self.share)
        return self.strength * loss, state


def relative_scatter(scatter: Tensor, cut: Tensor) -> Tensor:
    """The scatter of each class [C] over the mean, within its 10th and 90th percentile; 1 for a class that is not cut.

    As released with the paper.
    """
    bounded = scatter.clamp(torch.quantile(scatter, 0.1), torch.quantile(scatter, 0.9))
    return torch.where(cut, (bounded / bounded.mean().clamp(min=1e-12)).clamp(min=0.1), 1.0)
