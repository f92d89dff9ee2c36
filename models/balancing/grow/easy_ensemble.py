"""EasyEnsemble: several AdaBoosts, each on its own balanced subset of the rows."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from models.balancing.component import Correction, Source, hyper
from models.balancing.grow.boosted_stumps import boosted_votes
from models.balancing.growing import Ground, Grower, Grown, Ints


def balanced_rows(labels: Ints, generator: np.random.Generator) -> Ints:
    """Positions of as many rows of every class [n] as the smallest has, drawn without replacement."""
    counts = np.bincount(labels)
    size = counts[counts > 0].min()
    chosen = [generator.choice(np.flatnonzero(labels == c), size, replace=False) for c in np.flatnonzero(counts)]
    return np.concatenate(chosen).astype(np.int64)


@dataclass(frozen=True)
class EasyEnsemble(Grower):
    """AdaBoosts whose rows may have weights of their own; the budget's trees are shared out among the subsets.

    The published ensemble adds up the weighted votes of all trees and decides by their sign; here each AdaBoost's votes become
    probabilities, as in imbalanced-learn, of which the mean is taken.
    """

    subsets: int = hyper(10, minimum=1, maximum=100)
    depth: int = hyper(2, 1, 6, minimum=1, maximum=32)
    rate: float = hyper(0.5, 0.1, 1.0, log=True, minimum=1e-6, maximum=100.0)

    name: ClassVar[str] = "easy_ensemble"
    formula: ClassVar[str] = "p = mean over k of AdaBoost_k, each on min_c n_c rows of every class"
    corrects_prior: ClassVar[Correction] = "wholly"
    source: ClassVar[Source] = Source(
        "Exploratory Undersampling for Class-Imbalance Learning",
        "X.-Y. Liu, J. Wu, Z.-H. Zhou",
        2009,
        "doi:10.1109/TSMCB.2008.2007853",
    )

    def grow(self, ground: Ground) -> tuple[Grown, ...]:
        """As many boosted sums as there are subsets."""
        from sklearn.ensemble import AdaBoostClassifier
        from sklearn.tree import DecisionTreeClassifier

        subsets = min(round(self.subsets), ground.trees)
        generator, parts = np.random.default_rng(ground.seed), []
        for number in range(subsets):
            rows = balanced_rows(ground.labels, generator)
            boosted = AdaBoostClassifier(
                estimator=DecisionTreeClassifier(max_depth=round(self.depth)), n_estimators=ground.trees // subsets,
                learning_rate=float(self.rate), random_state=(ground.seed + number) % 2**32,
            )  # fmt: skip
            boosted.fit(ground.columns[rows], ground.labels[rows], sample_weight=ground.weights[rows])
            parts.append(Grown(boosted_votes(boosted, ground.classes), 1 / subsets))
        return tuple(parts)
