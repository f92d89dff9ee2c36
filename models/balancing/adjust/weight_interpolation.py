"""Interpolation between a net before and after fine-tuning: WiSE-FT, and BANG, which fine-tunes without overconfidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.averaging import Judge, WeightAverager
from models.balancing.component import EVERY_TASK, Claim, Source, Task, hyper

WISE_FT = Source(
    "Robust fine-tuning of zero-shot models",
    "M. Wortsman, G. Ilharco, J. W. Kim, M. Li, S. Kornblith, R. Roelofs, et al.",
    2021,
    "arXiv:2109.01903",
)
DIVERSITY = Source(
    "Spurious Feature Diversification Improves Out-of-distribution Generalization",
    "Y. Lin, L. Tan, Y. Hao, H. Wong, H. Dong, W. Zhang, Y. Yang, T. Zhang",
    2023,
    "arXiv:2309.17230",
)


def interpolated(anchor: Tensor, tuned: Tensor, share: float | Tensor) -> Tensor:
    """(1 - share) anchor + share tuned; share 0 is the anchor, share 1 the fine-tuned net."""
    return (1 - share) * anchor + share * tuned


@dataclass(frozen=True)
class WiseFT(WeightAverager):
    """The published anchor is a pre-trained net; here it is the best net before the schedule's last phase.

    With the schedule that it brings, one has seen the rows as they are, and the other classes drawn alike.
    """

    share: float | Tensor = hyper(0.5, 0.1, 0.9, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "wise_ft"
    formula: ClassVar[str] = "theta = (1 - share) theta_before + share theta_after"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    implies: ClassVar[Mapping[str, str]] = {"schedule": "class_balanced_fine_tuning"}
    source: ClassVar[Source] = WISE_FT
    also: ClassVar[tuple[Source, ...]] = (DIVERSITY,)

    def average(self, anchor: Tensor, ingredients: Tensor, judge: Judge) -> Tensor:
        """A point on the line between both."""
        return interpolated(anchor, ingredients[0], float(self.share))


@dataclass(frozen=True)
class Bang(WiseFT):
    """Balanced averaging: an overconfident net would dominate the mean, so fine-tuning goes with label smoothing and mixup."""

    name: ClassVar[str] = "bang"
    formula: ClassVar[str] = (
        "theta = (1 - share) theta_before + share theta_after, after: trained on mixed rows with smoothed labels"
    )
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary", "multiclass", "ordinal"})
    implies: ClassVar[Mapping[str, str]] = {"schedule": "smoothed_fine_tuning"}
    source: ClassVar[Source] = DIVERSITY
    also: ClassVar[tuple[Source, ...]] = ()
    claim: ClassVar[Claim] = Claim("averages nets that are not overconfident", "overconfident", "log_loss")
