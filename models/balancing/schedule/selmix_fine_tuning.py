"""SelMix fine-tuning: train as usual, then mix the pairs of classes that help most."""

from dataclasses import dataclass
from typing import ClassVar

from models.balancing.component import Claim, Need, Phase, Schedule, Source, hyper
from models.balancing.mix.selmix import SelMix
from models.balancing.sample.class_balanced_sampling import ClassBalancedSampling


@dataclass(frozen=True)
class SelMixFineTuning(Schedule):
    """A net trained on rows as they are, and a short rest of training in which mixed features mend what its confusion matrix lacks."""

    start: float = hyper(0.8, minimum=0.05, maximum=0.95)
    sharpness: float = hyper(10.0, minimum=0.0, maximum=1e4)
    smallest_share: float = hyper(0.6, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "selmix_fine_tuning"
    formula: ClassVar[str] = "plain until start, then p(row) = 1 / (C n_y) and selmix"
    needs: ClassVar[frozenset[Need]] = frozenset({"net"})
    cost: ClassVar[str] = (
        "It takes a pass over the validation rows before each epoch from `start` on, for the pairs' gains."
    )
    source: ClassVar[Source] = SelMix.source
    claim: ClassVar[Claim] = SelMix.claim

    def phases(self) -> tuple[Phase, ...]:
        """Two phases; the second mixes rows of classes drawn alike."""
        mix = SelMix(sharpness=self.sharpness, smallest_share=self.smallest_share, start=0.0)
        return (Phase(self.start), Phase(1 - self.start, switch={"sample": ClassBalancedSampling(), "mix": mix}))
