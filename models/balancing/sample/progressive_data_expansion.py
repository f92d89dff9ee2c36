"""PDE: warm up on a subset in which classes and groups are balanced, then let the other rows in bit by bit."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Need, Sampler, Source, State, Task, hyper
from models.data import Statistics


def admission(labels: Tensor, groups: Tensor, priority: Tensor) -> Tensor:
    """When each row is let in [n]: rank 0 for the balanced subset, then 1, 2, … for the others, by random priority.

    The balanced subset takes as many rows of every cell of class and group as the smallest cell that has rows holds.
    """
    cells = labels * (int(groups.max()) + 1) + groups
    order = torch.argsort(cells * 2.0 + priority)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    counts = torch.bincount(cells)
    within = place - (counts.cumsum(0) - counts)[cells]
    balanced = within < counts[counts > 0].min()
    later = torch.argsort(torch.argsort(torch.where(balanced, -1.0, priority)))
    return torch.where(balanced, 0, later - balanced.sum() + 1)


@dataclass(frozen=True)
class ProgressiveDataExpansion(Sampler):
    """Rows that have been let in are drawn alike: the balanced subset for `warm_up`, then an equal part more at each expansion."""

    warm_up: float | Tensor = hyper(0.2, 0.05, 0.5, minimum=0.0, maximum=0.95)
    expansions: float | Tensor = hyper(10.0, minimum=1.0, maximum=1000.0)

    name: ClassVar[str] = "progressive_data_expansion"
    formula: ClassVar[str] = (
        "draw evenly from S_t: S = class x group balanced subset until warm_up, then S + an equal part of the rest at each expansion"
    )
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    source: ClassVar[Source] = Source(
        "Robust Learning with Progressive Data Expansion Against Spurious Correlation",
        "Y. Deng, Y. Yang, B. Mirzasoleiman, Q. Gu",
        2023,
        "arXiv:2306.04949",
    )
    claim: ClassVar[Claim] = Claim(
        "raises worst-group accuracy by starting on a balanced subset", "spurious", "worst_group_accuracy"
    )

    def init(self, labels: Tensor, groups: Tensor, statistics: Statistics, generator: torch.Generator) -> State:
        """The rank at which each row is let in [n], drawn once."""
        priority = torch.rand(len(labels), generator=generator, dtype=torch.float64).to(labels.device)
        return {"admission": admission(labels, groups, priority)}

    def probabilities(
        self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics, progress: float
    ) -> Tensor:
        """Probability of each row [n]."""
        warm_up, expansions = float(self.warm_up), float(self.expansions)
        done = math.floor((progress - warm_up) / (1 - warm_up) * expansions) + 1 if progress >= warm_up else 0
        rest = state["admission"].max()
        inside = (state["admission"] <= rest * min(1.0, done / expansions)).float()
        return inside / inside.sum()

    def judged(self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics) -> Tensor | None:
        """It ends with all rows alike."""
        return None
