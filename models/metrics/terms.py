"""How figures are made."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.metrics.fairness import Evidence

BETA = 2.0
"""How many times as much as precision recall counts in F-beta, unless it is said."""


@dataclass(frozen=True)
class Terms:
    """How figures are made: confidence of intervals, bootstrap draws, calibration bins, evidence asked for, seed, beta of F-beta."""

    confidence: float = 0.95
    draws: int = 1000
    bins: int = 15
    evidence: Evidence = field(default_factory=lambda: Evidence(rows=50, per_class=10))
    seed: int = 0
    beta: float = BETA
