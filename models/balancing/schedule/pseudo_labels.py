"""Pseudo-labels: learn from labelled rows, label the others, most readily for the rare classes, and learn from both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Need, Phase, Schedule, Source, hyper
from models.balancing.schedule.corrupted_columns import SOURCE
from models.data import Statistics


def kept_shares(class_counts: Tensor, power: float | Tensor) -> Tensor:
    """(n_(C + 1 - rank) / n_1)^power for every class [C], rank 1 the most frequent: 1 for the rarest, small for the largest."""
    counts = class_counts.clamp(min=1)
    order = counts.argsort(descending=True, stable=True)
    shares = (counts[order].flip(0) / counts.max()) ** power
    return torch.empty_like(shares).index_copy(0, order, shares)


def confident(probabilities: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Labels [n] of rows with these probabilities [n, C], and whether each is among the surest share of its class [n].

    Of m rows with label c, the ceil(m shares_c) with the largest probability are kept.
    """
    sure, labels = probabilities.max(-1)
    kept = torch.zeros_like(sure, dtype=torch.bool)
    for label in range(probabilities.shape[1]):
        rows = torch.nonzero(labels == label).squeeze(1)
        count = int(torch.ceil(len(rows) * shares[label] - 1e-6))
        kept[rows[sure[rows].argsort(descending=True, stable=True)[:count]]] = True
    return labels, kept


def guessed(probabilities: Tensor, statistics: Statistics, power: float, weight: float) -> tuple[Tensor, Tensor]:
    """Labels [n] and weights [n] of unlabelled rows: `weight` for those that are kept, else 0."""
    labels, kept = confident(probabilities, kept_shares(statistics.class_counts, power))
    return labels, weight * kept.float()


@dataclass(frozen=True)
class PseudoLabels(Schedule):
    """Self-training with thresholds by class: of the rows that it labels alike, a model keeps the surest, by CReST's shares.

    With power 0 every row is kept, as in plain pseudo-labelling. The second training goes on from the first model.
    """

    start: float = hyper(0.5, minimum=0.05, maximum=0.95)
    power: float = hyper(0.33, minimum=0.0, maximum=5.0)
    weight: float = hyper(1.0, minimum=0.0, maximum=100.0)

    name: ClassVar[str] = "pseudo_labels"
    formula: ClassVar[str] = (
        "y'_i = argmax_c p_c(x_i) for the surest (n_(C+1-rank c) / n_1)^power of the rows labelled c; then mean over "
        "labelled rows and weight x these"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"net", "unlabelled"})
    source: ClassVar[Source] = SOURCE
    also: ClassVar[tuple[Source, ...]] = (
        Source(
            "CReST: A Class-Rebalancing Self-Training Framework for Imbalanced Semi-Supervised Learning",
            "C. Wei, K. Sohn, C. Mellina, A. Yuille, F. Yang",
            2021,
            "arXiv:2102.09559",
        ),
    )
    claim: ClassVar[Claim] = Claim("learns from rows without a label", "unlabelled", "balanced_accuracy")

    def phases(self) -> tuple[Phase, ...]:
        """Two trainings; the second begins with guessing."""
        guess = partial(guessed, power=self.power, weight=self.weight)
        return (Phase(self.start), Phase(1 - self.start, restart=True, rows="all", guess=guess))
