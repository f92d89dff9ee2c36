"""From fake to real: learn from synthetic rows in which class and group are balanced, then from the rows there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.balancing.component import Claim, Need, Phase, Schedule, Source, hyper
from models.balancing.sample.class_group_balanced import ClassGroupBalanced

if TYPE_CHECKING:
    from models.recipe import Recipe


@dataclass(frozen=True)
class FromFakeToReal(Schedule):
    """Synthetic and real rows never meet in a training, so that nothing is learned from which of them a row is.

    The paper makes images by a text-to-image model; on tables SMOTE within each class and group makes the rows.
    """

    start: float = hyper(0.5, minimum=0.05, maximum=0.95)

    name: ClassVar[str] = "from_fake_to_real"
    formula: ClassVar[str] = (
        "until start: synthetic rows, p(row) = 1 / (cells n_yg); then real rows, as the recipe draws them"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"net", "groups", "table"})
    implies: ClassVar[Mapping[str, str]] = {"resample": "cell_smote"}
    source: ClassVar[Source] = Source(
        "From Fake to Real: Pretraining on Balanced Synthetic Images to Prevent Spurious Correlations in Image Recognition",
        "M. Qraitem, K. Saenko, B. A. Plummer",
        2023,
        "arXiv:2308.04553",
    )
    claim: ClassVar[Claim] = Claim(
        "frees the representation of a spurious feature", "spurious", "worst_group_accuracy", {"start": 0.9}
    )

    def objection(self, recipe: Recipe) -> str | None:
        """There must be synthetic rows to begin with."""
        if recipe.resample is None or not recipe.resample.synthesizes:
            return "it begins with synthetic rows, and no resampler of the recipe makes any"
        return None

    def phases(self) -> tuple[Phase, ...]:
        """Two trainings, each on rows of one kind."""
        first = Phase(self.start, switch={"sample": ClassGroupBalanced()}, rows="synthetic")
        return (first, Phase(1 - self.start, restart=True, rows="real"))
