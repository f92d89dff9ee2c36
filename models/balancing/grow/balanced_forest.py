"""A balanced random forest: every tree is grown on as many rows of each class."""

from dataclasses import dataclass
from typing import ClassVar

from models.balancing.component import Correction, Source, hyper
from models.balancing.growing import Ground, Grower, Grown, Votes


@dataclass(frozen=True)
class BalancedForest(Grower):
    """Imbalanced-learn's BalancedRandomForestClassifier; its trees look at a share of the columns at every split.

    The published ones are grown to their ends (`min_samples_leaf` 1) and look at the square root of their number.
    """

    min_samples_leaf: int = hyper(2, 1, 20, log=True, minimum=1, maximum=100_000)
    max_features: float = hyper(0.3, 0.1, 1.0, minimum=0.01, maximum=1.0)

    name: ClassVar[str] = "balanced_forest"
    formula: ClassVar[str] = (
        "p = mean over trees of p_t, each grown on min_c n_c rows of every class, drawn with replacement"
    )
    averages: ClassVar[bool] = True
    corrects_prior: ClassVar[Correction] = "wholly"
    source: ClassVar[Source] = Source(
        "Using Random Forest to Learn Imbalanced Data", "C. Chen, A. Liaw, L. Breiman", 2004
    )

    def grow(self, ground: Ground) -> tuple[Grown, ...]:
        """One forest of the budget's trees."""
        from imblearn.ensemble import BalancedRandomForestClassifier

        forest = BalancedRandomForestClassifier(
            n_estimators=ground.trees, min_samples_leaf=round(self.min_samples_leaf), sampling_strategy="all",
            max_features=float(self.max_features), replacement=True, bootstrap=False, random_state=ground.seed, n_jobs=1,
        )  # fmt: skip
        forest.fit(ground.columns, ground.labels, sample_weight=ground.weights)
        trees = tuple(forest.estimators_)
        values = tuple(tree.tree_.value[:, 0, :] / len(trees) for tree in trees)
        return (Grown(Votes(trees, values, "share")),)
