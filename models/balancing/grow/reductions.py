"""Fair classification by reduction: a fairness constraint becomes weights and labels for learning without one."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from models.balancing.component import Claim, Need, Source, Task, hyper
from models.balancing.growing import Ground, Grower, Grown, Judges

if TYPE_CHECKING:
    from models.balancing.reweighted import Weighted

SOURCE = Source(
    "A Reductions Approach to Fair Classification",
    "A. Agarwal, A. Beygelzimer, M. Dudík, J. Langford, H. Wallach",
    2018,
    "arXiv:1803.02453",
)
FAIRLEARN = Source(
    "Fairlearn: Assessing and Improving Fairness of AI Systems", "H. Weerts et al.", 2023, "arXiv:2303.16626"
)


def _moment(constraint: str, bound: float | None = None) -> Any:
    from fairlearn import reductions

    kind = {"equalized_odds": reductions.EqualizedOdds, "demographic_parity": reductions.DemographicParity}[constraint]
    return kind() if bound is None else kind(difference_bound=bound)


def _part(predictor: Any) -> Any:
    """The fitted boosting, or the one class of a reduction whose labels were all the same."""
    from sklearn.dummy import DummyClassifier

    return int(predictor.constant) if isinstance(predictor, DummyClassifier) else predictor.boosting_


@dataclass(frozen=True)
class Reduction(Grower):
    """Base of fairlearn's reductions over boosted trees, each ensemble of at most 50 rounds: many are grown."""

    constraint: str = hyper("equalized_odds", choices=("equalized_odds", "demographic_parity"))

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    needs: ClassVar[frozenset[Need]] = frozenset({"trees", "groups"})
    source: ClassVar[Source] = SOURCE
    also: ClassVar[tuple[Source, ...]] = (FAIRLEARN,)
    claim: ClassVar[Claim] = Claim(
        "makes the error rates of the groups agree", "group_gap", "equalized_odds_difference"
    )

    @abstractmethod
    def reduce(self, estimator: Weighted, constraint: str) -> Any:
        """The unfitted reduction."""

    @abstractmethod
    def parts(self, fitted: Any, valid: Judges) -> tuple[Grown, ...]:
        """What the fitted reduction decides with."""

    def grow(self, ground: Ground) -> tuple[Grown, ...]:
        """The reduction of the constraint between the groups."""
        from models.balancing.reweighted import Weighted

        reduction = self.reduce(Weighted(ground.boosting(), ground.weights), self.constraint)
        with warnings.catch_warnings():
            # fairlearn 0.15 speaks to an older pandas; what it warns of changes nothing here.
            warnings.simplefilter("ignore")
            reduction.fit(ground.coded, ground.labels, sensitive_features=ground.groups)
            return self.parts(reduction, ground.valid)


@dataclass(frozen=True)
class ExponentiatedGradient(Reduction):
    """Fairlearn's ExponentiatedGradient, stopped after a few iterations, each of which grows up to three ensembles.

    The published classifier draws one of its ensembles for every row; here their probabilities are averaged by the same
    shares, so that a row is always decided alike. Constraints count rows alike.
    """

    bound: float = hyper(0.02, 0.005, 0.1, log=True, minimum=1e-4, maximum=1.0)
    iterations: int = hyper(6, minimum=1, maximum=50)

    name: ClassVar[str] = "exponentiated_gradient"
    formula: ClassVar[str] = (
        "min_Q max_l err(Q) + l (gap(Q) - bound), l <- B exp(t) / (1 + sum exp(t)), t <- t + eta (gap - bound)"
    )

    def reduce(self, estimator: Weighted, constraint: str) -> Any:
        """Exponentiated gradient steps on the multipliers."""
        from fairlearn.reductions import ExponentiatedGradient as Fairlearns

        # A tiny `nu` ends each look at the duality gap after the first ensemble grown for it.
        return Fairlearns(
            estimator,
            _moment(constraint, float(self.bound)),
            eps=float(self.bound),
            max_iter=round(self.iterations),
            nu=1e-9,
        )

    def parts(self, fitted: Any, valid: Judges) -> tuple[Grown, ...]:
        """The ensembles with a share."""
        shares = fitted.weights_
        return tuple(Grown(_part(fitted.predictors_[i]), float(shares[i])) for i in shares.index if shares[i] > 1e-9)


@dataclass(frozen=True)
class GridSearch(Reduction):
    """Fairlearn's GridSearch: one ensemble per multiplier of a grid, of which the best trade-off is kept.

    Fairlearn chooses it by the training rows, on which boosted trees leave little error and so little gap; here the validation
    rows choose.
    """

    grid: int = hyper(16, minimum=2, maximum=100)
    price: float = hyper(0.5, 0.1, 0.9, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "grid_search"
    formula: ClassVar[str] = "min_l (1 - price) err(h_l) + price gap(h_l), h_l = argmin_h err(h) + l gap(h)"

    def reduce(self, estimator: Weighted, constraint: str) -> Any:
        """A grid of multipliers."""
        from fairlearn.reductions import GridSearch as Fairlearns

        return Fairlearns(
            estimator, _moment(constraint), grid_size=round(self.grid), constraint_weight=float(self.price)
        )

    def parts(self, fitted: Any, valid: Judges) -> tuple[Grown, ...]:
        """The ensemble of the least error and gap on the validation rows, the first of equal ones."""
        from fairlearn.reductions import ErrorRate

        error, gap = ErrorRate(), _moment(self.constraint)
        for moment in (error, gap):
            moment.load_data(valid.coded, valid.labels, sensitive_features=valid.groups)
        losses = [
            (1 - self.price) * float(error.gamma(one.predict).max()) + self.price * float(gap.gamma(one.predict).max())
            for one in fitted.predictors_
        ]
        return (Grown(_part(fitted.predictors_[losses.index(min(losses))])),)
