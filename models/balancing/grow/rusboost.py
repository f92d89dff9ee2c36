"""RUSBoost: AdaBoost whose every round sees the large classes cut down to the smallest."""

from dataclasses import dataclass
from typing import ClassVar

from models.balancing.component import Correction, Source, hyper
from models.balancing.grow.boosted_stumps import boosted_votes
from models.balancing.growing import Ground, Grower, Grown


@dataclass(frozen=True)
class RUSBoost(Grower):
    """Imbalanced-learn's RUSBoostClassifier over trees of a small depth: it boosts as SAMME does, the paper as AdaBoost.M2."""

    depth: int = hyper(4, 1, 8, minimum=1, maximum=32)
    rate: float = hyper(0.3, 0.05, 1.0, log=True, minimum=1e-6, maximum=100.0)

    name: ClassVar[str] = "rusboost"
    formula: ClassVar[str] = (
        "w_i <- w_i exp(rate a_t [h_t(x_i) != y_i]), h_t fitted on min_c n_c rows of every class with these weights"
    )
    corrects_prior: ClassVar[Correction] = "wholly"
    source: ClassVar[Source] = Source(
        "RUSBoost: A Hybrid Approach to Alleviating Class Imbalance",
        "C. Seiffert, T. M. Khoshgoftaar, J. Van Hulse, A. Napolitano",
        2010,
        "doi:10.1109/TSMCA.2009.2029559",
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source("A Machine Learning Approach for Identifying Anatomical Biomarkers of Early Mild Cognitive Impairment"),
    )

    def grow(self, ground: Ground) -> tuple[Grown, ...]:
        """One boosted sum of at most the budget's trees."""
        from imblearn.ensemble import RUSBoostClassifier
        from sklearn.tree import DecisionTreeClassifier

        boosted = RUSBoostClassifier(
            estimator=DecisionTreeClassifier(max_depth=round(self.depth)), n_estimators=ground.trees,
            learning_rate=float(self.rate), random_state=ground.seed,
        )  # fmt: skip
        boosted.fit(ground.columns, ground.labels, sample_weight=ground.weights)
        return (Grown(boosted_votes(boosted, ground.classes)),)
