"""Bootstrap intervals of what is not made of shares: areas under curves, losses, macro F1, Matthews correlation.

Rows are weighted by independent exponentials (the Bayesian bootstrap, Rubin 1981): the same spread as drawing rows
with replacement, but no class and no group ever falls out of a resample, so that nothing is undefined in some draws
and quietly dropped. A metric that only sees counts gets the sums of those weights per cell, which are gamma
distributed, without drawing rows at all.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from models.metrics import intervals
from models.metrics.calibration import FROM_LOSSES, mean_loss
from models.metrics.classification import FROM_CONFUSION, confusion_matrix
from models.metrics.intervals import NONE, Interval
from models.metrics.ranking import FROM_RANKING, rankings
from models.metrics.scored import Floats, Scored

_CHUNK = 1 << 18  # numbers per array: a few megabytes each, which stay in the processor's cache


def generator(seed: int, *about: str) -> np.random.Generator:
    """A stream of its own for each figure, so that one figure's draws do not depend on which others are computed."""
    return np.random.default_rng([seed, zlib.crc32("\0".join(about).encode())])


def row_weights(rows: int, draws: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Weights of the rows in `draws` resamples, in chunks [c, rows]."""
    step = max(1, _CHUNK // max(rows, 1))
    for start in range(0, draws, step):
        yield rng.standard_exponential((min(step, draws - start), rows))


def cell_weights(counts: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Summed weights of the rows of each cell in `draws` resamples [draws, ...]."""
    return rng.standard_gamma(counts, (draws, *counts.shape))


def percentile(draws: Floats, value: float, confidence: float) -> Interval:
    """The middle share of the draws, widened to contain the estimate; none if the figure is undefined in any draw."""
    if not len(draws) or not np.isfinite(draws).all():
        return NONE
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
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


def of_metric(name: str, scored: Scored, draws: int, confidence: float, rng: np.random.Generator) -> Interval:
    """Interval of one metric over these rows: any that is computed from decisions, a ranking or losses."""
    if name in FROM_RANKING:
        return _of_ranking(name, scored, draws, confidence, rng)
    if name in FROM_LOSSES:
        return _of_losses(name, scored, draws, confidence, rng)
    formula = FROM_CONFUSION[name]
    confusion = confusion_matrix(scored.labels, scored.decisions, scored.classes)
    cells = cell_weights(with_unseen_errors(confusion), draws, rng)
    return percentile(formula(cells), float(formula(confusion)), confidence)


def _of_ranking(name: str, scored: Scored, draws: int, confidence: float, rng: np.random.Generator) -> Interval:
    """An area under a curve; where no resample moves it (every positive above every negative), a share's interval."""
    area = FROM_RANKING[name]
    orders = rankings(scored)
    value = float(np.mean([area(*order.sums()) for order in orders]))
    if not np.isfinite(value):
        return NONE
    # One ranking can take the draws in its own order, which saves moving them; several must share the rows' weights.
    alone = len(orders) == 1
    drawn = [
        np.mean([area(*(order.sums_ranked(w) if alone else order.sums(w))) for order in orders], axis=0)
        for w in row_weights(len(scored), draws, rng)
    ]
    found = percentile(np.concatenate(drawn), value, confidence)
    if found.high - found.low > 1e-9:
        return found
    fewest = int(scored.class_counts.min())
    return intervals.of_share(value * fewest, fewest, confidence)


def _of_losses(name: str, scored: Scored, draws: int, confidence: float, rng: np.random.Generator) -> Interval:
    """A mean loss; none when all rows lose the same, where nothing says how much another row would."""
    losses = FROM_LOSSES[name](scored)
    if not len(losses) or float(np.ptp(losses)) < 1e-12:
        return NONE
    drawn = [mean_loss(losses, w) for w in row_weights(len(scored), draws, rng)]
    return percentile(np.concatenate(drawn), float(mean_loss(losses)), confidence)
