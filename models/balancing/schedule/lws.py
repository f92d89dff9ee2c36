"""LWS: after training on rows as they are, learn how far each class's logit is to be scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.balancing.component import Claim, Need, Phase, Schedule, Source, hyper
from models.balancing.sample.class_balanced_sampling import ClassBalancedSampling
from models.balancing.schedule.crt import SOURCE

if TYPE_CHECKING:
    from models.recipe import Recipe


@dataclass(frozen=True)
class LWS(Schedule):
    """Learnable weight scaling: only one number per class is trained on classes drawn alike."""

    start: float = hyper(0.9, minimum=0.05, maximum=0.95)

    name: ClassVar[str] = "lws"
    formula: ClassVar[str] = "z_c = s_c <w_c, f>; until start s = 1, then s only, p(row) = 1 / (C n_y)"
    needs: ClassVar[frozenset[Need]] = frozenset({"net"})
    source: ClassVar[Source] = SOURCE
    implies: ClassVar[Mapping[str, str]] = {"head": "scaled"}
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes with one number per class",
        "separable_tail",
        "balanced_accuracy",
        values={"start": 0.6},
    )

    def objection(self, recipe: Recipe) -> str | None:
        """The scales must be there to be trained."""
        if recipe.head is None or recipe.head.name != "scaled":
            return (
                f"it trains the scales of head 'scaled', and the head is '{recipe.head.name if recipe.head else None}'"
            )
        return None

    def phases(self) -> tuple[Phase, ...]:
        """Two trainings; the second trains the scales and nothing else."""
        second = Phase(
            1 - self.start, switch={"sample": ClassBalancedSampling()}, trains="classifier.scale", restart=True
        )
        return (Phase(self.start), second)
