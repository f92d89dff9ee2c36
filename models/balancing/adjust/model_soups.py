"""Model soups: the mean of nets that were fine-tuned from one beginning, instead of the best of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.averaging import Judge, WeightAverager
from models.balancing.component import EVERY_TASK, Claim, Source, Task

SOURCE = Source(
    "Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing inference time",
    "M. Wortsman, G. Ilharco, S. Y. Gadre, R. Roelofs, R. Gontijo-Lopes, A. S. Morcos, et al.",
    2022,
    "arXiv:2203.05482",
)


def greedy_soup(ingredients: Tensor, judge: Judge) -> Tensor:
    """The mean [N] of those ingredients [k, N] that, taken in from the best one on, do not make the mean worse."""
    losses = [judge(one) for one in ingredients]
    order = sorted(range(len(losses)), key=lambda i: (losses[i], i))
    soup, best = [order[0]], losses[order[0]]
    for candidate in order[1:]:
        tried = judge(ingredients[[*soup, candidate]].mean(0))
        if tried <= best:
            soup, best = [*soup, candidate], tried
    return ingredients[soup].mean(0)


@dataclass(frozen=True)
class Soup(WeightAverager):
    """Base of both soups, of four nets that differ in learning rate and in the order of rows."""

    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    implies: ClassVar[Mapping[str, str]] = {"schedule": "fine_tuning"}
    factors: ClassVar[tuple[float, ...]] = (0.3, 1.0, 1.0, 3.0)
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "is better than one of the nets that it is made of",
        "overfitted",
        "log_loss",
        beside={"schedule": "fine_tuning"},
    )


@dataclass(frozen=True)
class UniformSoup(Soup):
    """The mean of all four."""

    name: ClassVar[str] = "uniform_soup"
    formula: ClassVar[str] = "theta = mean_i theta_i, each trained on from the same theta_0"

    def average(self, anchor: Tensor, ingredients: Tensor, judge: Judge) -> Tensor:
        """The mean of the ingredients."""
        return ingredients.mean(0)


@dataclass(frozen=True)
class GreedySoup(Soup):
    """The mean of those that do not make it worse on validation rows, the best one first."""

    name: ClassVar[str] = "greedy_soup"
    formula: ClassVar[str] = (
        "theta = mean of a growing set: the next best theta_i stays if the validation loss does not rise"
    )

    def average(self, anchor: Tensor, ingredients: Tensor, judge: Judge) -> Tensor:
        """The greedy mean."""
        return greedy_soup(ingredients, judge)
