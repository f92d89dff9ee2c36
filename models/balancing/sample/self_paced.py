"""Self-paced curriculum: rows are let in when the net finds them easy enough, within each class, and the bar falls with training."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Correction, Sampler, Source, State, View, hyper
from models.balancing.loss.none import cross_entropy
from models.data import Statistics, occurring, one_hot


def ranks_within(labels: Tensor, values: Tensor, classes: int) -> Tensor:
    """The share of its class's rows that have a smaller value than each row [n], in [0, 1)."""
    order = torch.argsort(values, stable=True)
    order = order[torch.argsort(labels[order], stable=True)]
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    counts = torch.bincount(labels, minlength=classes)
    return (place - (counts.cumsum(0) - counts)[labels]) / counts[labels]


def admitted(losses: Tensor, ranks: Tensor, bar: Tensor, begin: float, pace: float) -> Tensor:
    """Which rows [n] are let in: those with a loss below bar / (1 - pace), all at pace 1, and the easiest `begin` of each class."""
    open_to_all = torch.full_like(bar, torch.inf)
    raised = bar / (1 - pace) if pace < 1 else open_to_all
    return (losses < raised) | (ranks < begin)


@dataclass(frozen=True)
class SelfPaced(Sampler):
    """The bar is the loss below which the easiest `begin` of a class lie at first; it rises to infinity until `full`.

    So the pace is the net's own: the sooner it masters rows, the sooner they are drawn. Losses are taken before every
    epoch. Every class has its own bar, so that a hard rare class is not left out, and
    is drawn in proportion to n_c^power. The difficulty of a text by its words, which the second paper adds, has no
    counterpart in a table.
    """

    begin: float | Tensor = hyper(0.3, 0.1, 0.6, minimum=0.01, maximum=1.0)
    full: float | Tensor = hyper(0.5, 0.2, 0.8, minimum=0.0, maximum=1.0)
    power: float | Tensor = hyper(0.5, 0.0, 1.0, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "self_paced"
    formula: ClassVar[str] = (
        "draw from {i: loss_i < K_y / (1 - t / full)}, K_c = begin-quantile of class c at first; p(class c) ~ n_c^power"
    )
    surveys: ClassVar[bool] = True
    corrects_prior: ClassVar[Correction] = "partly"
    cost: ClassVar[str] = "It takes a pass over all training rows before each epoch, for their losses."
    source: ClassVar[Source] = Source(
        "Self-Paced Learning for Latent Variable Models", "M. P. Kumar, B. Packer, D. Koller", 2010, "NeurIPS 2010"
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source(
            "Improving Imbalanced Text Classification with Dynamic Curriculum Learning",
            "X. Zhang, J. Wang, N. Cheng, J. Xiao",
            2022,
            "arXiv:2210.14724",
        ),
    )
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes, whose rows it draws more often, the easy ones first",
        "long_tail",
        "balanced_accuracy",
    )

    def init(self, labels: Tensor, groups: Tensor, statistics: Statistics, generator: torch.Generator) -> State:
        """The loss and the rank of each row [n], and the bar of each class [C], which is 0 until the first survey."""
        return {
            "losses": torch.zeros(len(labels), device=labels.device),
            "ranks": torch.zeros(len(labels), device=labels.device),
            "bar": torch.zeros_like(statistics.class_counts),
        }

    def survey(self, state: State, view: View) -> State:
        """The losses as they are now, and the bars the first time."""
        seen, classes = view.train(), view.statistics.classes
        losses = cross_entropy(seen.logits, one_hot(seen.labels, classes))
        ranks = ranks_within(seen.labels, losses, classes)
        bar = state["bar"]
        if float(bar.max()) == 0:
            easy = torch.where(ranks < float(self.begin), losses, 0.0)
            bar = torch.zeros_like(bar).scatter_reduce(0, seen.labels, easy, "amax")
        return {"losses": losses, "ranks": ranks, "bar": bar}

    def probabilities(
        self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics, progress: float
    ) -> Tensor:
        """Probability of each row [n]."""
        pace = min(1.0, progress / float(self.full)) if float(self.full) > 0 else 1.0
        inside = admitted(state["losses"], state["ranks"], state["bar"][labels], float(self.begin), pace).float()
        none = torch.zeros_like(statistics.class_counts)
        let_in, rows = none.index_add(0, labels, inside), none.index_add(0, labels, torch.ones_like(inside))
        # Drawn by rows: what these weigh is in the loss already.
        share = occurring(statistics.class_counts) ** (self.power - 1) * rows / let_in.clamp(min=1)
        raw = inside * share[labels]
        return raw / raw.sum()

    def judged(self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics) -> Tensor | None:
        """Validation rows count as their classes are drawn at the end."""
        return occurring(statistics.class_counts)[labels] ** (torch.as_tensor(self.power) - 1)
