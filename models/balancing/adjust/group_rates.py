"""What the group-wise thresholds share: candidate cuts per group, the rates that they give, and the shifted decision."""

from typing import NamedTuple

import torch
from torch import Tensor

from models.balancing.component import Scores

CANDIDATES = 101
"""Thresholds tried per group."""


class Cuts(NamedTuple):
    """Per group g and candidate k: the threshold [G, K], and the weight of true and false positives [G, K].

    `positives` and `negatives` [G] are the weight of the rows of each class; a group without both classes keeps the
    threshold 0 in every place.
    """

    thresholds: Tensor
    true_positives: Tensor
    false_positives: Tensor
    positives: Tensor
    negatives: Tensor

    @property
    def usable(self) -> Tensor:
        """Whether a group has rows of both classes [G]."""
        return (self.positives > 0) & (self.negatives > 0)

    @property
    def rates(self) -> Tensor:
        """False and true positive rate [G, K, 2]."""
        pairs = ((self.false_positives, self.negatives), (self.true_positives, self.positives))
        return torch.stack([part / whole.clamp(min=1e-300)[:, None] for part, whole in pairs], -1)


def candidate_cuts(scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, group_count: int) -> Cuts:
    """Evenly spaced quantiles of each group's margins z_1 - z_0 as candidates, the extremes included."""
    margins, weights = scores.decision[:, 1] - scores.decision[:, 0], weights.double()
    places = torch.linspace(0, 1, CANDIDATES, dtype=margins.dtype, device=margins.device)
    thresholds, hits, misses, positives, negatives = [], [], [], [], []
    for group in range(group_count):
        inside = groups == group
        mine, weight = margins[inside], weights[inside]
        hit, miss = weight * (labels[inside] == 1), weight * (labels[inside] == 0)
        cuts = torch.zeros_like(places)
        if bool(hit.sum() > 0) and bool(miss.sum() > 0):
            cuts = torch.quantile(mine, places)
            cuts = torch.cat([cuts[:1] - 1, (cuts[1:-1] + cuts[2:]) / 2, cuts[-1:] + 1])
        above = mine[None, :] > cuts[:, None]
        thresholds.append(cuts)
        hits.append((above * hit).sum(1))
        misses.append((above * miss).sum(1))
        positives.append(hit.sum())
        negatives.append(miss.sum())
    return Cuts(*(torch.stack(found) for found in (thresholds, hits, misses, positives, negatives)))


def shifted(scores: Scores, thresholds: Tensor, groups: Tensor) -> Scores:
    """Scores with the positive class's decision lowered by the threshold [G] of the row's group; probabilities stay."""
    mine = thresholds[groups.clamp(0, thresholds.shape[0] - 1)]
    return scores._replace(decision=scores.decision + torch.stack([torch.zeros_like(mine), -mine], -1))
