"""Weight balancing: train with strong weight decay, then let only the classifier learn, weighed and with bounded norms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.balancing.component import Need, Phase, Schedule, Source, hyper, needs_linear_classifier
from models.balancing.loss.class_balanced import ClassBalanced
from models.balancing.optimize.max_norm import MaxNorm

if TYPE_CHECKING:
    from models.recipe import Recipe


@dataclass(frozen=True)
class WeightBalancing(Schedule):
    """The two-stage form; the first stage takes the learner's weight decay, which is to be searched high.

    Its one-stage form is a recipe: `feature_norm`, head `fixed_simplex`, `multiplicative_adjustment`.
    """

    start: float = hyper(0.9, minimum=0.05, maximum=0.95)
    share: float = hyper(0.1, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "weight_balancing"
    formula: ClassVar[str] = "until start: all, CE; then the classifier only, class-balanced loss, |w_c| <= d"
    needs: ClassVar[frozenset[Need]] = frozenset({"net"})
    source: ClassVar[Source] = MaxNorm.source
    also: ClassVar[tuple[Source, ...]] = MaxNorm.also

    def objection(self, recipe: Recipe) -> str | None:
        """It needs class weights."""
        return needs_linear_classifier(recipe)

    def phases(self) -> tuple[Phase, ...]:
        """Two trainings; the second goes on with the classifier of the first."""
        second = Phase(
            1 - self.start,
            switch={"loss": ClassBalanced(beta=0.9999), "optimize": MaxNorm(share=self.share, start=0.0)},
            trains="classifier",
            restart=True,
        )
        return (Phase(self.start), second)
