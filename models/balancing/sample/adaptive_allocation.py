"""Adaptive allocation: the next rows go to the groups whose learning curves say that they will gain most by them."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Need, Sampler, Seen, Source, State, View
from models.balancing.loss.none import cross_entropy
from models.data import Statistics, occurring, one_hot

SMALLEST = 1e-6
ROUNDS = 80
"""Halvings of the interval in which the price of a row is sought."""


def learning_curves(sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums [G, 5] of 1, x, y, x x, x y over the points (x, y) = (log n, log loss) -> a, b [G] of loss = a n^-b, and which are known.

    Least squares; a curve that does not fall has b = 0. It takes two points to know one.
    """
    count, x, y, xx, xy = sums.unbind(-1)
    spread = count * xx - x * x
    known = (count > 1.5) & (spread > SMALLEST)
    b = torch.where(known, -(count * xy - x * y) / spread.clamp(min=SMALLEST), 0.0).clamp(min=0)
    return torch.exp((y + b * x) / count.clamp(min=1)), b, known


def points(seen: Seen, collected: Tensor, classes: int) -> Tensor:
    """What the validation rows seen add to the sums [G, 5]; a group of which there are none, or none collected, adds nothing."""
    member = one_hot(seen.groups, len(collected)) * seen.weights[:, None]
    held = member.sum(0)
    losses = cross_entropy(seen.logits, one_hot(seen.labels, classes))
    x, y = collected.clamp(min=1).log(), (losses @ member / held.clamp(min=SMALLEST)).clamp(min=SMALLEST).log()
    point = torch.stack([torch.ones_like(x), x, y, x * x, x * y], -1)
    return point * ((held > 0) & (collected > 0))[:, None]


def next_rows(a: Tensor, b: Tensor, weights: Tensor, collected: Tensor, budget: float | Tensor) -> Tensor:
    """How to add `budget` rows to the `collected` [G] so that sum_g weights_g a_g n_g^-b_g is least [G].

    Row by row to the group that gains most, the greedy way, ends where all groups that get rows gain a b n^(-b-1) alike:
    at the price of a row that uses the budget up. Groups whose curves do not fall get none; if none falls, all the same.
    """
    gain = weights * a * b
    falls = gain > SMALLEST * SMALLEST
    start = torch.where(falls, gain * collected.clamp(min=1) ** (-b - 1), 0.0)

    def rows(price: Tensor) -> Tensor:
        reached = torch.exp((gain.clamp(min=1e-30).log() - price) / (b + 1))
        return torch.where(falls, (reached - collected).clamp(min=0), 0.0)

    high = start.max().clamp(min=1e-30).log()
    low = high - 60.0
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        enough = rows(middle).sum() >= budget
        low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
    found = rows(low)
    even = weights / weights.sum().clamp(min=SMALLEST)
    total = found.sum()
    return budget * torch.where(total > 0, found / total.clamp(min=SMALLEST), even)


@dataclass(frozen=True)
class AdaptiveAllocation(Sampler):
    """The training rows as a pool, and every epoch a round of collecting from it, as many rows as it has.

    What has been collected is what is learned from: rows are drawn in its proportions. Before every round the groups'
    losses are taken in a pass over the validation rows; with the rows collected of each so far they are a point of its
    learning curve. Until there are two points, groups get as many rows each. All groups count alike in the sum that is
    to become small, and rows of all groups cost the same. That a row of the pool may be collected again, where the paper
    asks for new ones, makes the curves of small groups flatten sooner.
    """

    name: ClassVar[str] = "adaptive_allocation"
    formula: ClassVar[str] = (
        "p(group g) ~ N_g, rows collected; each round adds those that minimize sum_g a_g N_g^-b_g, fitted to all rounds"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    surveys: ClassVar[bool] = True
    cost: ClassVar[str] = "It takes a pass over the validation rows before each epoch, for the groups' losses."
    source: ClassVar[Source] = Source(
        "Adaptive Sampling Strategies to Construct Equitable Training Datasets",
        "W. Cai, R. Encarnacion, B. Chern, S. Corbett-Davies, M. Bogen, S. Bergman, S. Goel",
        2022,
        "arXiv:2202.01327",
    )
    claim: ClassVar[Claim] = Claim(
        "serves all groups better than drawing in proportion, by following their learning curves",
        "spurious",
        "worst_group_accuracy",
    )

    def init(self, labels: Tensor, groups: Tensor, statistics: Statistics, generator: torch.Generator) -> State:
        """Rows collected of each group [G], none yet, and the sums of the curves' points [G, 5]."""
        collected = torch.zeros_like(statistics.group_counts)
        return {"collected": collected, "sums": collected[:, None].repeat(1, 5)}

    def survey(self, state: State, view: View) -> State:
        """A further point of every curve, and what the next round collects."""
        counts, collected, sums = view.statistics.group_counts, state["collected"], state["sums"]
        present = (counts > 0).to(counts.dtype)
        if float(collected.sum()) > 0:
            sums = sums + points(view.valid(), collected, view.statistics.classes)
        a, b, known = learning_curves(sums)
        if bool((known | (counts == 0)).all()):
            more = next_rows(a, b, present, collected, counts.sum())
        else:
            more = counts.sum() * present / present.sum()
        return {"collected": collected + more, "sums": sums}

    def probabilities(
        self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics, progress: float
    ) -> Tensor:
        """Probability of each row [n]: its group's share of what was collected (of nothing: even), its rows alike."""
        share = torch.where(state["collected"].sum() > 0, state["collected"], 1.0)
        raw = (share / occurring(statistics.group_counts))[groups]
        return raw / raw.sum()

    def judged(self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics) -> Tensor | None:
        """Validation rows count so that groups do alike, as in what the allocation makes small."""
        return 1 / occurring(statistics.group_counts)[groups]
