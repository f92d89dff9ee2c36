"""Margin-balanced sampling: rows that a teacher finds easy, doubtful and hard are drawn equally often, in batches of one topic or of all."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.clustering import cluster
from models.balancing.component import Claim, Sampler, Source, State, View, hyper
from models.data import Statistics

SOURCE = Source(
    "Efficiently Teaching an Effective Dense Retriever with Balanced Topic Aware Sampling",
    "S. Hofstätter, S.-C. Lin, J.-H. Yang, J. Lin, A. Hanbury",
    2021,
    "arXiv:2104.06967",
)


def margin_bins(logits: Tensor, labels: Tensor, bins: int) -> Tensor:
    """The bin of each row's margin p_y - max_(k != y) p_k [n], of `bins` equal ones over [-1, 1]."""
    p = torch.softmax(logits, -1)
    own = p.gather(1, labels[:, None]).squeeze(1)
    others = p.scatter(1, labels[:, None], -1.0).max(1).values
    return ((own - others + 1) / 2 * bins).long().clamp(0, bins - 1)


def even_over(cells: Tensor) -> Tensor:
    """Probability of each row [n] so that the cells [n] that have rows are drawn alike, and the rows of a cell alike."""
    raw = 1 / torch.bincount(cells)[cells].double()
    return (raw / raw.sum()).float()


@dataclass(frozen=True)
class MarginBalanced(Sampler):
    """Rows are put in bins of their margin once; from then on bins are drawn alike.

    In the paper the margin is that of a trained teacher, between a relevant and an irrelevant passage. Here the teacher
    is the net as it is after a share `warm` of training on rows alike, and the margin lies between the right class and
    the best other one. The bins stay from then on: if they followed the net, the rows that it has just learned would be
    let go and forgotten again. So few hard rows among many easy ones are seen as often as these. From then on validation rows are
    judged by their bins alike too: by all of them alike an epoch would be chosen from before it began.
    """

    bins: float = hyper(10.0, minimum=1.0, maximum=1000.0)
    warm: float | Tensor = hyper(0.3, 0.1, 0.6, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "margin_balanced"
    formula: ClassVar[str] = "from warm on p(row) ~ 1 / n_bin, bins of p_y - max_(k != y) p_k of equal width"
    surveys: ClassVar[bool] = True
    cost: ClassVar[str] = "It takes a pass over all training and validation rows, once, for their margins."
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "serves the hard rows, as it sees them as often as the many easy ones", "subclasses", "worst_group_accuracy"
    )

    def init(self, labels: Tensor, groups: Tensor, statistics: Statistics, generator: torch.Generator) -> State:
        """The bin of each row [n], of each validation row (none yet), and whether they are known []; before, all rows are in one."""
        return {
            "bin": torch.zeros_like(labels),
            "valid_bin": labels.new_zeros(0),
            "known": torch.zeros((), dtype=torch.bool),
        }

    def survey(self, state: State, view: View) -> State:
        """The bins as the net sees the rows when it has warmed up."""
        if not len(state["valid_bin"]):
            state = {**state, "valid_bin": torch.zeros_like(view.valid().labels)}
        if bool(state["known"]) or view.progress < float(self.warm):
            return state
        seen, valid = view.train(), view.valid()
        return {
            **state,
            "bin": margin_bins(seen.logits, seen.labels, int(self.bins)),
            "valid_bin": margin_bins(valid.logits, valid.labels, int(self.bins)),
            "known": torch.ones_like(state["known"]),
        }

    def probabilities(
        self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics, progress: float
    ) -> Tensor:
        """Probability of each row [n]."""
        return even_over(state["bin"])

    def judged(self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics) -> Tensor | None:
        """Validation rows count as they would be drawn: their bins alike, once these are known."""
        return even_over(state["valid_bin"]) if bool(state["known"]) else None

    def judges_anew(self, before: State, after: State) -> bool:
        """When the bins become known."""
        return bool(after["known"]) and not bool(before["known"])

    def settled(self, state: State) -> bool:
        """When the bins are known."""
        return bool(state["known"])


@dataclass(frozen=True)
class TopicMarginBalanced(MarginBalanced):
    """TAS-Balanced: every batch is of one cluster of rows, drawn evenly over its margin bins, so that it holds rows that are hard to tell apart.

    The rows are clustered once, by the features of the net before its first step: a random projection of the columns.
    """

    topics: float = hyper(8.0, minimum=1.0, maximum=10000.0)

    name: ClassVar[str] = "topic_margin_balanced"
    formula: ClassVar[str] = "each batch: a topic, even over the k-means clusters; then p(row) ~ 1 / n_(topic, bin)"
    cost: ClassVar[str] = (
        "It takes two passes over all training rows, one to cluster them by their features and one for their margins, and one over the validation rows."
    )

    def init(self, labels: Tensor, groups: Tensor, statistics: Statistics, generator: torch.Generator) -> State:
        """The bin and the topic of each row [n]; no topic yet."""
        return {**super().init(labels, groups, statistics, generator), "topic": torch.full_like(labels, -1)}

    def survey(self, state: State, view: View) -> State:
        """The topics the first time, and the bins as the net sees the rows when it has warmed up."""
        if int(state["topic"].min()) < 0:
            seen = view.train()
            topic = cluster(seen.features, min(int(self.topics), len(seen.labels)), view.generator)
            state = {**state, "topic": topic}
        return super().survey(state, view)

    def probabilities(
        self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics, progress: float
    ) -> Tensor:
        """What drawing by `order` comes to for each row [n]."""
        topic = state["topic"].clamp(min=0)
        cell = topic * int(self.bins) + state["bin"]
        bins = torch.unique(cell) // int(self.bins)
        raw = 1 / (torch.bincount(cell)[cell] * torch.bincount(bins)[topic]).double()
        return (raw / raw.sum()).float()

    def order(self, state: State, steps: int, size: int, generator: torch.Generator) -> Tensor | None:
        """Batches of one topic each [steps, size]."""
        topic, bins = state["topic"].cpu(), state["bin"].cpu()
        rows = [torch.nonzero(topic == t).squeeze(1) for t in torch.unique(topic).tolist()]
        chosen = torch.randint(len(rows), (steps,), generator=generator)
        order = torch.empty(steps, size, dtype=torch.long)
        for t, own in enumerate(rows):
            batches = torch.nonzero(chosen == t).squeeze(1)
            if len(batches):
                weights, count = even_over(bins[own]), len(batches) * size
                order[batches] = own[torch.multinomial(weights, count, True, generator=generator)].reshape(-1, size)
        return order
