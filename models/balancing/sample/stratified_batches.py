"""Stratified batches: every batch holds a row of each stratum of the sorted table, so that none is without rare rows."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Sampler, Source, State, Task
from models.balancing.loss.cisir import SOURCE
from models.data import Statistics


def stratified(ordered: Tensor, steps: int, size: int, generator: torch.Generator) -> Tensor:
    """Batches [steps, size] of sorted rows [n]: column i is drawn without replacement from the i-th of `size` strata.

    A stratum of fewer rows than there are batches is gone through again.
    """
    edges = torch.arange(size + 1) * len(ordered) // size
    columns = []
    for first, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        rows = ordered[first : max(end, first + 1)]
        drawn = rows[torch.randperm(len(rows), generator=generator)]
        columns.append(drawn.repeat(-(-steps // len(drawn)))[:steps])
    return torch.stack(columns, 1)


@dataclass(frozen=True)
class StratifiedBatches(Sampler):
    """Rows are drawn alike; only their division into batches is even. They are sorted by what rows are balanced by.

    It is the part of `cisir` that draws; by itself it makes batches less unlike each other.
    """

    name: ClassVar[str] = "stratified_batches"
    formula: ClassVar[str] = "batch = one row of each of B strata of the rows sorted by target"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "lowers the error of rare values, which no batch is without", "rare_values", "rare_mae"
    )

    def init(self, labels: Tensor, groups: Tensor, statistics: Statistics, generator: torch.Generator) -> State:
        """The rows sorted [n], in random order where they are alike."""
        shuffled = torch.randperm(len(labels), generator=generator).to(labels.device)
        return {"ordered": shuffled[torch.argsort(labels[shuffled], stable=True)]}

    def probabilities(
        self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics, progress: float
    ) -> Tensor:
        """Probability of each row [n]: alike."""
        return torch.full((len(labels),), 1 / len(labels), device=labels.device)

    def order(self, state: State, steps: int, size: int, generator: torch.Generator) -> Tensor | None:
        """The batches of an epoch [steps, size]."""
        return stratified(state["ordered"].cpu(), steps, size, generator)
