"""Bootstrap intervals of what is not made of shares: areas under curves, losses, macro F1, Matthews correlation.

Rows are weighted by independent exponentials (the Bayesian bootstrap, Rubin 1981): the same spread as drawing rows
with replacement, but no class and no group ever falls out of a resample, so that nothing is undefined in some draws
and quietly dropped. A metric that only sees counts gets the sums of those weights per cell, which are gamma
distributed, without drawing rows at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from statistics import NormalDist

import numpy as np

from models.metrics import intervals
from models.metrics.calibration import FROM_LOSSES, mean_loss
from models.metrics.classification import confusion_matrix
from models.metrics.intervals import NONE, Interval
from models.metrics.ordered import from_decisions
from models.metrics.ranking import FROM_RANKING, rankings
from models.metrics.scored import Floats, Scored
from models.metrics.terms import BETA
from models.seeds import derive_seed

_CHUNK = 1 << 15  # numbers per array: a quarter of a megabyte, which stays in a core's own cache


def generator(seed: int, *about: str) -> np.random.Generator:
    """A stream of its own for each figure, so that one figure's draws do not depend on which others are computed."""
    return np.random.default_rng(derive_seed(seed, "bootstrap", *about))


def row_weights(rows: int, draws: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Weights of the rows in `draws` resamples, in chunks [c, rows]."""
    step = max(1, _CHUNK // max(rows, 1))
    for start in range(0, draws, step):
        yield rng.standard_exponential((min(step, draws - start), rows))


def cell_weights(counts: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Summed weights of the rows of each cell in `draws` resamples [draws, ...]."""
    return rng.standard_gamma(counts, (draws, *counts.shape))


def expansion(fewest: int) -> float:
    """By how much intervals from resamples of this many rows are widened: Student's t over the normal, and n over n - 1."""
    spare = max(fewest - 1, 1)
    return float((1 + 1.25 / spare) * np.sqrt(1 + 1 / spare))


def percentile(draws: Floats, value: float, confidence: float, fewest: int) -> Interval:
    """Bias-corrected percentiles of the draws (Efron 1981), widened to contain the estimate.

    None if the figure is undefined in any draw. The correction moves the percentiles by twice the bias that the
    resamples show, but not where nearly all lie on one side: there the estimate is at the edge of the figure's range,
    and they have no other side. `fewest`, the rows of the rarest class, widens the interval as Student's t does, for
    resamples of few rows spread too little (Hesterberg 2015).
    """
    if not len(draws) or not np.isfinite(draws).all():
        return NONE
    normal = NormalDist()
    below = float((draws < value).mean() + (draws == value).mean() / 2)
    bias = normal.inv_cdf(below) if 0.3 < below < 0.7 else 0.0
    z = normal.inv_cdf((1 + confidence) / 2) * expansion(fewest)
    low, high = np.quantile(draws, [normal.cdf(2 * bias - z), normal.cdf(2 * bias + z)])
    return Interval(float(min(low, value)), float(max(high, value)))


def with_unseen_errors(confusion: Floats) -> Floats:
    """Counts [C, C] in which a class that was decided all alike gets 1/C of a row spread over its empty cells.

    Without it a resample knows of no error where none was seen, and 12 of 12 would be certain; for two classes it is
    the half row of Jeffreys' prior.
    """
    classes = confusion.shape[0]
    empty = confusion == 0
    alike = (empty.sum(1) == classes - 1)[:, None]
    return confusion + np.where(alike & empty, 1 / classes / (classes - 1), 0.0)


def of_metrics(
    names: Collection[str],
    scored: Scored,
    draws: int,
    confidence: float,
    seed: int,
    about: str = "",
    beta: float = BETA,
) -> dict[str, Interval]:
    """Intervals over these rows of any metrics that are computed from decisions, a ranking or losses.

    `about` names the rows; a metric's interval does not depend on which others are asked for with it.
    """
    formulas = from_decisions(beta)
    from_counts = [name for name in names if name in formulas]
    from_scores = [name for name in names if name in FROM_RANKING or name in FROM_LOSSES]
    result: dict[str, Interval] = {}
    fewest = int(scored.class_counts.min())
    if from_counts:
        confusion = confusion_matrix(scored.labels, scored.decisions, scored.classes)
        cells = cell_weights(with_unseen_errors(confusion), draws, generator(seed, about, "counts"))
        for name in from_counts:
            formula = formulas[name]
            result[name] = percentile(formula(cells), float(formula(confusion)), confidence, fewest)
    if from_scores and len(scored):
        values, drawn = _draw_scores(from_scores, scored, draws, generator(seed, about, "scores"))
        for name in from_scores:
            result[name] = _checked(name, values[name], drawn[name], fewest, confidence)
    return {name: result.get(name, NONE) for name in names}


def _draw_scores(
    names: list[str], scored: Scored, draws: int, rng: np.random.Generator
) -> tuple[dict[str, float], dict[str, Floats]]:
    """Estimate and draws of areas under curves and mean losses, all from the same resamples."""
    orders = rankings(scored)
    # The rows may be put into any order first: with one ranking its own saves moving every resample into it.
    first = orders[0].order if len(orders) == 1 else np.arange(len(scored))
    losses = {name: FROM_LOSSES[name](scored)[first] for name in names if name in FROM_LOSSES}
    ranked = [name for name in names if name in FROM_RANKING]
    values = {name: float(mean_loss(loss)) for name, loss in losses.items()}
    values |= {name: float(np.mean([FROM_RANKING[name](*order.sums()) for order in orders])) for name in ranked}
    drawn: dict[str, list[Floats]] = {name: [] for name in names}
    for weights in row_weights(len(scored), draws, rng):
        for name, loss in losses.items():
            drawn[name].append(mean_loss(loss, weights))
        areas: dict[str, list[Floats]] = {name: [] for name in ranked}
        for order in orders if ranked else ():
            pair = order.sums_ranked(weights) if len(orders) == 1 else order.sums(weights)
            for name in ranked:
                areas[name].append(FROM_RANKING[name](*pair))
        for name in ranked:
            drawn[name].append(np.asarray(np.mean(areas[name], axis=0)))
    return values, {name: np.concatenate(parts) for name, parts in drawn.items()}


def _checked(name: str, value: float, drawn: Floats, fewest: int, confidence: float) -> Interval:
    """The percentile interval, unless no resample moves the figure: then what a share of the rarest class would have.

    A ranking without a single error is certain for a bootstrap; equal losses of all rows say nothing of another row.
    """
    if not np.isfinite(value):
        return NONE
    found = percentile(drawn, value, confidence, fewest)
    if found.high - found.low > 1e-9:
        return found
    if name in FROM_LOSSES:
        return NONE
    return intervals.of_share(value * fewest, fewest, confidence)
