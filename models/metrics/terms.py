"""How figures are made."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.metrics.fairness import Evidence


@dataclass(frozen=True)
class Terms:
    """How figures are made: confidence of intervals, bootstrap draws, calibration bins, evidence asked for, seed."""

    confidence: float = 0.95
    draws: int = 1000
    bins: int = 15
    evidence: Evidence = field(default_factory=lambda: Evidence(rows=50, per_class=10))
    seed: int = 0
