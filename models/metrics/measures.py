"""Metrics as functions of row weights, which a bootstrap repeats, and their intervals from resamples."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from models.metrics.bootstrap import generator, percentile, row_weights
from models.metrics.intervals import NONE, Interval
from models.metrics.scored import Floats

Measure = Callable[[Floats | None], Floats]
"""Weights of the rows [draws, n] -> values [draws, …]; None, for rows that count alike, -> the estimate [...]."""


def drawn(measures: Mapping[str, Measure], rows: int, draws: int, rng: np.random.Generator) -> dict[str, Floats]:
    """The values of every measure [draws, …], all from the same resamples."""
    found: dict[str, list[Floats]] = {name: [] for name in measures}
    for weights in row_weights(rows, draws, rng):
        for name, measure in measures.items():
            found[name].append(measure(weights))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def of_measures(
    measures: Mapping[str, Measure],
    rows: int,
    fewest: Mapping[str, int],
    draws: int,
    confidence: float,
    seed: int,
    about: str,
) -> dict[str, Interval]:
    """Intervals of smooth metrics by name; `fewest` are the rows of the smallest part that each rests on."""
    if not rows:
        return dict.fromkeys(measures, NONE)
    repeated = drawn(measures, rows, draws, generator(seed, about, "measures"))
    return {
        name: percentile(repeated[name], float(measure(None)), confidence, fewest[name])
        for name, measure in measures.items()
    }


def absolute(found: Interval) -> Interval:
    """The interval of |x| from that of x."""
    if not np.isfinite(found.low):
        return NONE
    low, high = abs(found.low), abs(found.high)
    return Interval(0.0 if found.low <= 0 <= found.high else min(low, high), max(low, high))
