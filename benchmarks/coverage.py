"""How often 95% intervals hold the truth on simulated test sets, ours beside the percentile bootstrap that is common.

Run it: `python -m benchmarks.coverage` (a few minutes). The truth is the figure on 600,000 rows of the same population.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.table import Cell, publish_figures
from models.metrics.fairness import Evidence
from models.metrics.figures import Figure, Terms, overall_figures
from models.metrics.gaps import Counted, GapFigure, gap_figures
from models.metrics.names import BY_GROUP, BY_NAME
from models.metrics.paired import Comparison, measure
from models.metrics.score import compare_groups, overall
from models.metrics.scored import Grouping, Scored

SETS, ROWS, DRAWS, TRUTH = 400, 600, 400, 600_000
METRICS = (
    "balanced_accuracy",
    "mcc",
    "roc_auc",
    "brier",
    "ece",
    "demographic_parity_difference",
    "equalized_odds_difference",
    "demographic_parity_ratio",
    "worst_group_accuracy",
    "ece_worst_group",
)
TERMS = Terms(draws=DRAWS, evidence=Evidence(1, 1))


@dataclass(frozen=True)
class Population:
    """Three groups of equal size; labels from a logistic model with this share of positives.

    The scores are moved by `shift` per group and stretched by `slope`, both on the scale of log odds.
    """

    name: str
    share: float
    shift: tuple[float, float, float] = (0, 0, 0)
    slope: float = 1.0

    def draw(self, seed: int, rows: int) -> tuple[Scored, Grouping]:
        """A test set."""
        rng = np.random.default_rng([seed, rows])
        ids = rng.integers(0, 3, rows)
        odds = np.log(self.share / (1 - self.share)) + rng.normal(size=rows)
        labels = (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.int64)
        p = 1 / (1 + np.exp(-self.slope * odds - np.array(self.shift)[ids]))
        scored = Scored.of(labels, p > self.share, np.column_stack([1 - p, p]))
        return scored, Grouping("group", ("a", "b", "c"), ids)


POPULATIONS = (
    Population("equal groups", 0.3),
    Population("unequal groups", 0.3, shift=(0, 0.5, 1.0)),
    Population("rare, overconfident", 0.08, slope=1.7),
)


def percentile_bootstrap(metric: str, scored: Scored, grouping: Grouping, weights: np.ndarray) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile over resampled rows; `weights` [draws, n] count how often each row was drawn."""
    counted = Counted.of(scored, grouping, TERMS)
    what = Comparison(metric, TERMS.bins, grouping, counted.masks, counted.enough)
    drawn = measure(what, scored)(weights)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def truth_of(population: Population) -> Mapping[str, float]:
    """Every metric of the population."""
    scored, grouping = population.draw(0, TRUTH)
    found = overall(scored) | compare_groups(scored, grouping, Evidence())
    return {name: value for name, value in found.items() if value is not None}


def coverage(population: Population) -> list[Sequence[Cell]]:
    """One line per metric: the truth, and of both kinds of interval how often they hold it and how wide they are."""
    truth = truth_of(population)
    ours = {metric: np.zeros((SETS, 2)) for metric in METRICS}
    theirs = {metric: np.zeros((SETS, 2)) for metric in METRICS}
    for i in range(SETS):
        scored, grouping = population.draw(1 + i, ROWS)
        weights = np.random.default_rng([i, 77]).multinomial(ROWS, np.full(ROWS, 1 / ROWS), DRAWS).astype(np.float64)
        names = [metric for metric in METRICS if metric not in BY_GROUP]
        figures = overall_figures(scored, ("no", "yes"), TERMS, names)
        gaps = gap_figures(scored, ("no", "yes"), grouping, TERMS)
        for metric in METRICS:
            figure: Figure | GapFigure = gaps[metric] if metric in BY_GROUP else figures[metric]
            if figure.low is None or figure.high is None:
                raise ValueError(f"{metric} has no interval on a set of {ROWS} rows")
            bounds = (figure.low, figure.high), percentile_bootstrap(metric, scored, grouping, weights)
            for found, (low, high) in zip((ours, theirs), bounds, strict=True):
                found[metric][i] = low <= truth[metric] <= high, high - low
    lines: list[Sequence[Cell]] = []
    for metric in METRICS:
        held = (ours[metric][:, 0], theirs[metric][:, 0], ours[metric][:, 1], theirs[metric][:, 1])
        lines.append((population.name, BY_NAME[metric].title, truth[metric], *(float(x.mean()) for x in held)))
    return lines


def main() -> None:
    """Measure all populations."""
    publish_figures(
        "coverage",
        f"Share of {SETS} simulated test sets of {ROWS} rows whose 95% interval holds the truth",
        ("population", "figure", "truth", "ours", "percentile bootstrap", "width, ours", "width, percentile"),
        [line for population in POPULATIONS for line in coverage(population)],
        notes=(
            f"Chance alone moves a share of {SETS} sets by about 0.02.",
            "Noise makes a gap, a worst group and a calibration error look worse than they are, and resampling adds noise to "
            "noise: percentiles miss a true gap of 0. Score intervals that hold for all pairs of groups do not.",
        ),
    )


if __name__ == "__main__":
    main()
