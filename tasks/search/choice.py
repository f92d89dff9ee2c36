"""Which trial is the best: the highest objective among those that keep every limit, or else the least violation.

Validation rows cannot tell trials apart whose objectives differ by less than its standard error, and the highest of many
is high by luck. So of those that are that close to the highest, the one with the lowest log loss (of a number, root mean
squared error) is chosen: a figure that the same rows know better (the rule of one standard error: Breiman, Friedman, Olshen and Stone, Classification and
Regression Trees, 1984, section 3.4.3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.metrics.names import BY_NAME, NUMBER, TELLS_MORE

Metrics = Mapping[str, float | None]

ERROR = "objective_error"
"""The standard error of the objective, among a trial's metrics."""

BY_CHANCE = {"ece": "ece_by_chance"}
"""What a metric would be by chance if its true value were 0, where that is known; a limit is on what is left of it."""

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
    """What the search is for: the best of one metric, in its own direction, subject to limits on others."""

    metric: str
    subject_to: Mapping[str, float]

    @property
    def lower(self) -> bool:
        """Whether less of the metric is better."""
        return BY_NAME[self.metric].better == "lower"

    @property
    def tells_more(self) -> str:
        """What decides between trials whose objectives are too close to tell apart: the same rows know it better."""
        return TELLS_MORE["regression" if BY_NAME[self.metric].tasks == NUMBER else "multiclass"]

    def merit(self, metrics: Metrics) -> float | None:
        """The objective as a number of which more is better; None where it is not known."""
        value = metrics.get(self.metric)
        return value if value is None or not self.lower else -value

    def excesses(self, metrics: Metrics) -> dict[str, float]:
        """By how much each limited metric is above its limit, relative to the limit; 0 where the limit is kept."""
        found = {}
        for name, limit in self.subject_to.items():
            value = _beyond_chance(name, metrics)
            found[name] = UNKNOWN if value is None else max(0.0, value - limit) / max(limit, SMALLEST_LIMIT)
        return found

    def violation(self, metrics: Metrics) -> float:
        """The sum of the excesses; 0 exactly if every limit is kept."""
        return sum(self.excesses(metrics).values())

    def rank(self, standing: Standing) -> tuple[float, float, bool, int]:
        """The smaller the better: violation, then objective, then baselines first, then the lower id."""
        metrics = standing.metrics or {}
        value = self.merit(metrics)
        objective = float("-inf") if value is None else value
        return self.violation(metrics), -objective, not standing.baseline, standing.trial

    def best(self, standings: Sequence[Standing]) -> Standing:
        """The one that is chosen, of those that have metrics."""
        first = min((s for s in standings if s.metrics is not None), key=self.rank)
        close = self.as_good_as(first, standings)
        return min(close, key=lambda s: (_number((s.metrics or {}).get(self.tells_more)), self.rank(s)))

    def as_good_as(self, first: Standing, standings: Sequence[Standing]) -> list[Standing]:
        """Those that violate no more than the first in rank, and whose objective is at most one standard error worse.

        Without a known log loss or error, and where the limits are not kept, it is the first alone.
        """
        metrics = first.metrics or {}
        top, error = self.merit(metrics), metrics.get(ERROR)
        if top is None or not error or metrics.get(self.tells_more) is None or self.violation(metrics) > 0:
            return [first]
        found = [s for s in standings if s.metrics is not None and self.violation(s.metrics) == 0]
        return [s for s in found if _number(self.merit(s.metrics or {}), -math.inf) >= top - error]

    def why(self, chosen: Standing, standings: Sequence[Standing]) -> str:
        """The choice in one sentence."""
        metrics = chosen.metrics or {}
        feasible = [s for s in standings if s.metrics is not None and self.violation(s.metrics) == 0]
        value = _written(metrics.get(self.metric))
        if not self.subject_to and (close := self._why_close(chosen, feasible, "")):
            return close
        if not self.subject_to:
            return f"Trial {chosen.trial} has the {self._best} {self.metric} ({value}) of {_trials(standings)}."
        limits = ", ".join(f"{name} <= {limit:g}" for name, limit in self.subject_to.items())
        if feasible and (close := self._why_close(chosen, feasible, limits)):
            return close
        if feasible:
            among = (
                "is the only trial"
                if len(feasible) == 1
                else f"has the {self._best} {self.metric} ({value}) of the {len(feasible)} trials"
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

    def _why_close(self, chosen: Standing, feasible: Sequence[Standing], limits: str) -> str:
        """The choice in one sentence where another trial has a higher objective; nothing where none has."""
        first, metrics = min(feasible, key=self.rank), chosen.metrics or {}
        best = first.metrics or {}
        if first.trial == chosen.trial:
            return ""
        close = len(self.as_good_as(first, feasible))
        return (
            f"Trial {chosen.trial} has the lowest {self.tells_more} ({_written(metrics.get(self.tells_more))}) of the {close} trials"
            f"{f' that keep {limits} and' if limits else ''} whose {self.metric} is within one standard error "
            f"({_written(best.get(ERROR))}) of the {self._best} ({_written(best.get(self.metric))}); its own is "
            f"{_written(metrics.get(self.metric))}."
        )

    def record(self) -> dict[str, Any]:
        """As it stands in the search's record."""
        return {"minimize" if self.lower else "maximize": self.metric, "subject_to": dict(self.subject_to)}

    @property
    def _best(self) -> str:
        return "lowest" if self.lower else "highest"


def optimized(objective: Mapping[str, Any]) -> str:
    """The metric that a recorded search optimized."""
    return str(objective.get("minimize") or objective["maximize"])


def merit(metric: str, value: float | None) -> float:
    """A metric's value as a number of which more is better; less than any where it is not known."""
    if value is None:
        return -math.inf
    return -value if BY_NAME[metric].better == "lower" else value


def _beyond_chance(name: str, metrics: Metrics) -> float | None:
    """A limited metric without what chance adds to it: errors add up in squares."""
    value, chance = metrics.get(name), metrics.get(BY_CHANCE.get(name, ""))
    return value if value is None or chance is None else math.sqrt(max(0.0, value**2 - chance**2))


def _number(value: float | None, otherwise: float = math.inf) -> float:
    return otherwise if value is None else value


def _trials(standings: Sequence[Standing]) -> str:
    return "1 trial" if len(standings) == 1 else f"{len(standings)} trials"


def _written(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
