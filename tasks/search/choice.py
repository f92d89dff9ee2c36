"""Which trial is the best: the highest objective among those that keep every limit, or else the least violation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Metrics = Mapping[str, float | None]

SMALLEST_LIMIT = 0.01
"""An excess is taken relative to its limit, but never to less than this, so that a limit of 0 has a measure too."""

UNKNOWN = 1.0
"""The excess of a limited metric that the validation rows cannot tell: as if it were twice its limit."""


@dataclass(frozen=True)
class Standing:
    """One trial as it stands: its metrics on validation rows, None if it failed."""

    trial: int
    baseline: bool
    metrics: Metrics | None


@dataclass(frozen=True)
class Goal:
    """What the search is for: one metric to maximize, subject to limits on others."""

    maximize: str
    subject_to: Mapping[str, float]

    def excesses(self, metrics: Metrics) -> dict[str, float]:
        """By how much each limited metric is above its limit, relative to the limit; 0 where the limit is kept."""
        found = {}
        for name, limit in self.subject_to.items():
            value = metrics.get(name)
            found[name] = UNKNOWN if value is None else max(0.0, value - limit) / max(limit, SMALLEST_LIMIT)
        return found

    def violation(self, metrics: Metrics) -> float:
        """The sum of the excesses; 0 exactly if every limit is kept."""
        return sum(self.excesses(metrics).values())

    def rank(self, standing: Standing) -> tuple[float, float, bool, int]:
        """The smaller the better: violation, then objective, then baselines first, then the lower id."""
        metrics = standing.metrics or {}
        value = metrics.get(self.maximize)
        objective = float("-inf") if value is None else value
        return self.violation(metrics), -objective, not standing.baseline, standing.trial

    def best(self, standings: Sequence[Standing]) -> Standing:
        """The one that is chosen, of those that have metrics."""
        return min((s for s in standings if s.metrics is not None), key=self.rank)

    def why(self, chosen: Standing, standings: Sequence[Standing]) -> str:
        """The choice in one sentence."""
        metrics = chosen.metrics or {}
        feasible = [s for s in standings if s.metrics is not None and self.violation(s.metrics) == 0]
        value = _written(metrics.get(self.maximize))
        if not self.subject_to:
            return f"Trial {chosen.trial} has the highest {self.maximize} ({value}) of {_trials(standings)}."
        limits = ", ".join(f"{name} <= {limit:g}" for name, limit in self.subject_to.items())
        if feasible:
            among = (
                "is the only trial"
                if len(feasible) == 1
                else f"has the highest {self.maximize} ({value}) of the {len(feasible)} trials"
            )
            return (
                f"Trial {chosen.trial} {among} of {len(standings)} that keeps {limits}."
                if len(feasible) == 1
                else f"Trial {chosen.trial} {among} that keep {limits}."
            )
        broken = ", ".join(
            f"{name} {_written(metrics.get(name))} > {self.subject_to[name]:g}"
            if metrics.get(name) is not None
            else f"{name} cannot be told from the validation rows"
            for name, excess in self.excesses(metrics).items()
            if excess > 0
        )
        return f"Nothing is feasible: none of {_trials(standings)} keeps {limits}; trial {chosen.trial} violates them least ({broken})."

    def record(self) -> dict[str, Any]:
        """As it stands in the search's record."""
        return {"maximize": self.maximize, "subject_to": dict(self.subject_to)}


def _trials(standings: Sequence[Standing]) -> str:
    return "1 trial" if len(standings) == 1 else f"{len(standings)} trials"


def _written(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
