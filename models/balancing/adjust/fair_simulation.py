"""FairTTTS: at nodes that ask for the protected attribute, rows of unprivileged groups take the better branch at times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, ModelAdjuster, Need, Source, Task, hyper
from models.data import Split, Statistics

if TYPE_CHECKING:
    from models.learners.learner import Model
    from models.recipe import Recipe


def telling(columns: Tensor, groups: Tensor) -> Tensor:
    """Of columns [n, D] which ones tell the group [D]: one value for all rows of a group, and not the same for every group."""
    present = torch.unique(groups)
    lowest = torch.stack([columns[groups == g].amin(0) for g in present])
    highest = torch.stack([columns[groups == g].amax(0) for g in present])
    return (lowest == highest).all(0) & (lowest.amin(0) < lowest.amax(0))


def behind(labels: Tensor, groups: Tensor, weights: Tensor, count: int) -> Tensor:
    """The groups [G] in which class 1 is rarer than over all rows; a group without rows is none of them."""
    rows = torch.zeros(count, dtype=weights.dtype).index_add(0, groups, weights)
    positive = torch.zeros(count, dtype=weights.dtype).index_add(0, groups, weights * labels)
    return (positive / rows.clamp(min=1e-12) < positive.sum() / rows.sum()) & (rows > 0)


@dataclass(frozen=True)
class FairSimulation(ModelAdjuster):
    """The mean over all ways through a forest, which the published simulation comes to with the number of its runs.

    At a distance d from the threshold a row takes the other branch with probability max(flip - d / scale, 0), and at a
    node that asks for the protected attribute, on its way to the branch with more of class 0, if its group is
    unprivileged, `factor` times as often, a half at most. Unprivileged are the groups in which class 1 is rarer than over
    all training rows. The attribute must be a feature: a node asks for it if its column has one value in each group. The
    published scale is the largest threshold in the columns' own units; here columns are standardized, and it is a
    hyperparameter. It acts on a forest whose leaves are averaged.
    """

    flip: float | Tensor = hyper(0.1, 0.02, 0.3, log=True, minimum=0.0, maximum=0.5)
    factor: float | Tensor = hyper(9.0, 1.0, 15.0, minimum=1.0, maximum=1000.0)
    scale: float | Tensor = hyper(100.0, minimum=1e-3, maximum=1e9)

    name: ClassVar[str] = "fair_simulation"
    formula: ClassVar[str] = (
        "p(y) = mean over trees of sum over leaves p_leaf(y) prod over its nodes of (1 - q) or q; q = max(flip - d / scale, "
        "0), at protected nodes of unprivileged rows min(factor q, 1/2)"
    )
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    needs: ClassVar[frozenset[Need]] = frozenset({"trees", "groups"})
    implies: ClassVar[dict[str, str]] = {"grow": "balanced_forest"}
    source: ClassVar[Source] = Source(
        "FairTTTS: A Tree Test Time Simulation Method for Fairness-Aware Classification",
        "N. Cohen-Inger, L. Rokach, B. Shapira, S. Cohen",
        2025,
        "arXiv:2501.08155",
    )
    claim: ClassVar[Claim] = Claim(
        "treats the groups more alike without training anew",
        "shown_group",
        "demographic_parity_difference",
        beside={"grow": "balanced_forest"},
    )

    def objection(self, recipe: Recipe) -> str | None:
        """There must be a forest."""
        if recipe.grow is not None and recipe.grow.averages:
            return None
        grown = (
            f"grow '{recipe.grow.name}' grows another ensemble" if recipe.grow is not None else "boosting grows none"
        )
        return f"it needs a forest whose leaves are averaged, and {grown}. Name balanced_forest"

    def replaced(self, model: Model, train: Split, statistics: Statistics, generator: torch.Generator) -> Model:
        """The forest, walked in all ways at once; a model of a single class stays."""
        from models.learners.forest_model import ForestModel, design
        from models.learners.simulated_forest import SimulatedForest

        assert isinstance(model, ForestModel)
        if len(model.architecture()["present"]) < 2:
            return model
        columns = design(train, model.architecture()["indicators"])
        unprivileged = behind(train.labels.cpu(), train.groups.cpu(), train.weights.cpu(), train.group_count)
        protected = telling(columns, train.groups).cpu()
        return SimulatedForest.of(
            model, protected, unprivileged, float(self.flip), float(self.factor), float(self.scale)
        )
