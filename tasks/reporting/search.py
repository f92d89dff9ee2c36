"""What was tried: the leaderboard, and the trade-off of the objective against each limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from models.recipe import BASELINES
from tasks.reporting import words
from tasks.reporting.interval_chart import on_a_line, shared_axis
from tasks.reporting.numbers import Figure, finite, percent, plural, setting
from tasks.reporting.svg import domain
from tasks.reporting.tradeoff_chart import Mark, tradeoff
from tasks.search.choice import merit, optimized

Trial = Mapping[str, Any]
JUDGED = ("finished", "stopped")
"""What became of the trials that are ranked: those with the full budget, and those that the clock stopped on their way to it."""
BASELINE_WORDS = {"none": "baseline: no balancing", "prior_threshold": "baseline: threshold only"}


@dataclass(frozen=True)
class Limited:
    """A limited metric of one trial, and whether it keeps the limit (None: it was not measured)."""

    figure: Figure
    kept: bool | None


@dataclass(frozen=True)
class Row:
    """One line of the leaderboard."""

    rank: int | None
    trial: int
    training: int
    recipe: str
    champion: str
    learner: str
    baseline: str
    chosen: bool
    objective: Figure
    limits: tuple[Limited, ...]
    feasible: bool
    violation: float | None
    status: str
    settings: str
    error: str
    picture: Markup


@dataclass(frozen=True)
class Plot:
    """One trade-off plot, or the reason why it cannot be drawn."""

    metric: str
    limit: float
    picture: Markup | None


@dataclass(frozen=True)
class Entrant:
    """A recipe that competed, why, and what it is warned of."""

    recipe: str
    why: str
    cautions: str


@dataclass(frozen=True)
class Left:
    """Recipes that were left out for one reason."""

    recipes: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Search:
    """The section's content."""

    objective: str
    lower: bool
    limits: tuple[tuple[str, float], ...]
    rows: tuple[Row, ...]
    stopped: tuple[Row, ...]
    plots: tuple[Plot, ...]
    axis: Markup | None
    summary: str
    why: str
    earned: str
    feasible: int
    nothing_feasible: bool
    chosen: Row | None
    wall_clock_limited: bool
    entrants: tuple[Entrant, ...]
    left: tuple[Left, ...]


def search_view(record: Mapping[str, Any], choice: Mapping[str, Any]) -> Search:
    """Rank the finished trials as the search does (feasible first, then the objective, then the least violation)."""
    objective = optimized(record["objective"])
    limits = {str(k): float(v) for k, v in (record["objective"].get("subject_to") or {}).items()}
    trials: Sequence[Trial] = record["trials"]
    picked = choice.get("trial")
    ranked = [t for t in trials if t["status"] in JUDGED or t["trial"] == picked]
    finished = sorted(ranked, key=lambda t: _rank(t, objective, picked))
    stopped = sorted((t for t in trials if t not in ranked), key=lambda t: int(t["trial"]))
    ends = [v for t in finished for v in _objective_values(t, objective)]
    scale = domain(ends, *words.bounds(objective)) if ends else None
    rows = [_row(t, objective, limits, choice, scale, rank) for rank, t in enumerate(finished, 1)]
    feasible = sum(bool(t.get("feasible")) for t in finished)
    return Search(
        objective=objective,
        lower=words.higher_is_better(objective) is False,
        limits=tuple(limits.items()),
        rows=tuple(rows),
        stopped=tuple(_row(t, objective, limits, choice, None, None) for t in stopped),
        plots=tuple(_plot(metric, limit, objective, trials, choice) for metric, limit in limits.items()),
        axis=shared_axis(*scale, f"Scale of {words.label(objective)}") if scale else None,
        summary=_summary(trials, feasible),
        why=str(choice.get("why") or ""),
        earned=_earned(rows, objective),
        feasible=feasible,
        nothing_feasible=not choice.get("feasible", True),
        chosen=next((r for r in rows if r.chosen), None),
        wall_clock_limited=bool(record.get("wall_clock_limited")),
        entrants=tuple(
            Entrant(str(r["recipe"]), str(r["why"]), " ".join(r.get("cautions") or ()))
            for r in record.get("recipes") or ()
            if r["competes"]
        ),
        left=_left(record.get("recipes") or ()),
    )


def _left(considered: Sequence[Mapping[str, Any]]) -> tuple[Left, ...]:
    """What was left out, by reason."""
    by: dict[str, list[str]] = {}
    for one in considered:
        if not one["competes"]:
            by.setdefault(str(one["why"]), []).append(str(one["recipe"]))
    return tuple(Left(tuple(names), why) for why, names in by.items())


def _earned(rows: Sequence[Row], objective: str) -> str:
    """Whether the chosen recipe earns its place against doing nothing, on validation rows."""
    chosen = next((r for r in rows if r.chosen), None)
    plain = next((r for r in rows if r.recipe == "none"), None)
    if chosen is None or plain is None or chosen.objective.value is None or plain.objective.value is None:
        return ""
    name, price = words.lower_first(words.label(objective)), _price(rows, chosen, objective)
    if chosen.recipe == "none":
        return f"The chosen recipe is the baseline that does nothing: no balancing did better within the limits.{price}"
    over = "" if plain.feasible else " (over a limit)"
    told = f"Doing nothing (none) reaches {plain.objective.text} in {name}{over}, the chosen recipe {chosen.objective.text}."
    return (
        f"{told} It is itself a baseline: no other recipe did better within the limits.{price}"
        if chosen.baseline
        else told + price
    )


def _price(rows: Sequence[Row], chosen: Row, objective: str) -> str:
    """What the limits cost, as a sentence; empty where nothing beyond them is clearly better, or the chosen one breaks one."""
    lower = words.higher_is_better(objective) is False
    end = chosen.objective.low if lower else chosen.objective.high
    beyond = [r for r in rows if not r.feasible and r.objective.value is not None]
    if not chosen.feasible or end is None or not beyond:
        return ""
    best = min(beyond, key=lambda r: -merit(objective, r.objective.value))
    value = best.objective.value
    if value is None or (value >= end if lower else value <= end):
        return ""
    over = "" if best.violation is None else f" ({percent(best.violation)} over)"
    return f" The limits have a price: beyond them {best.recipe} with {best.learner} reaches {best.objective.text}{over}. A gap between few rows may break a limit by chance."


def _rank(trial: Trial, objective: str, picked: Any) -> tuple[float, float, bool, int]:
    """The smaller the better, as tasks/search/choice.py ranks them: violation, then objective; of equals the chosen one."""
    metrics = trial.get("metrics") or {}
    value, violation = finite(metrics.get(objective)), finite(trial.get("violation"))
    return (
        float("inf") if violation is None else violation,
        -merit(objective, value),
        trial["trial"] != picked,
        int(trial["trial"]),
    )


def _objective_values(trial: Trial, objective: str) -> list[float]:
    metrics = trial.get("metrics") or {}
    found = (finite(metrics.get(k)) for k in (objective, "objective_low", "objective_high"))
    return [v for v in found if v is not None]


def _row(
    trial: Trial,
    objective: str,
    limits: Mapping[str, float],
    choice: Mapping[str, Any],
    scale: tuple[float, float] | None,
    rank: int | None,
) -> Row:
    metrics = trial.get("metrics") or {}
    figure = Figure(
        finite(metrics.get(objective)), finite(metrics.get("objective_low")), finite(metrics.get("objective_high"))
    )
    chosen = trial["trial"] == choice.get("trial")
    recipe = str(trial["recipe"])
    name = f"trial {trial['trial']}, {recipe} {trial['learner']}"
    return Row(
        rank=rank,
        trial=int(trial["trial"]),
        training=int(trial.get("training", trial["trial"])),
        recipe=recipe,
        champion=str(trial.get("champion") or ""),
        learner=str(trial["learner"]),
        baseline=BASELINE_WORDS.get(recipe, "") if recipe in BASELINES else "",
        chosen=chosen,
        objective=figure,
        limits=tuple(_limited(finite(metrics.get(metric)), limit) for metric, limit in limits.items()),
        feasible=bool(trial.get("feasible")),
        violation=finite(trial.get("violation")),
        status=str(trial["status"]),
        settings=", ".join(f"{k} {setting(v)}" for k, v in (trial.get("values") or {}).items()),
        error=str(trial.get("error") or ""),
        picture=on_a_line(figure, *scale, name, "chosen" if chosen else "plain") if scale else Markup(""),
    )


def _limited(value: float | None, limit: float) -> Limited:
    return Limited(Figure(value), None if value is None else value <= limit)


def _plot(metric: str, limit: float, objective: str, trials: Sequence[Trial], choice: Mapping[str, Any]) -> Plot:
    best = _best_baselines(trials, objective, choice.get("trial"))
    marks = []
    for trial in trials:
        metrics = trial.get("metrics") or {}
        x, y = finite(metrics.get(metric)), finite(metrics.get(objective))
        if trial["status"] == "failed" or x is None or y is None:
            continue
        early = trial["status"] not in JUDGED
        kind = "early" if early else "feasible" if trial.get("feasible") else "infeasible"
        chosen = trial["trial"] == choice.get("trial")
        named = trial["trial"] in best
        recipe, learner = str(trial["recipe"]), str(trial["learner"])
        name = (
            f"{recipe} ({learner})" if chosen else recipe if named else f"{recipe} ({learner}, trial {trial['trial']})"
        )
        marks.append(Mark(name, recipe, x, y, kind, chosen, named))
    return Plot(metric, limit, tradeoff(marks, limit, words.label(metric), words.label(objective)) if marks else None)


def _best_baselines(trials: Sequence[Trial], objective: str, picked: Any) -> set[int]:
    """The best finished trial of each baseline: the one that carries the name in the plots."""
    found = set()
    for recipe in BASELINES:
        mine = [t for t in trials if t["recipe"] == recipe and t["status"] in JUDGED]
        if mine:
            found.add(int(min(mine, key=lambda t: _rank(t, objective, picked))["trial"]))
    return found


def _summary(trials: Sequence[Trial], feasible: int) -> str:
    recipes = len({t["recipe"] for t in trials})
    by = Counter(str(t["status"]) for t in trials)
    trained = len({t.get("training", t["trial"]) for t in trials})
    shared = f", from {plural(trained, 'training')}" if trained < len(trials) else ""
    parts = [f"{plural(len(trials), 'configuration')} of {plural(recipes, 'recipe')} tried on validation rows{shared}"]
    parts.append(f"{by['finished']} finished")
    if by["halved"]:
        parts.append(f"{by['halved']} stopped early")
    if by["stopped"]:
        parts.append(f"{by['stopped']} stopped by the clock")
    if by["failed"]:
        parts.append(f"{by['failed']} failed")
    return "; ".join(parts) + f". {feasible} of the finished {'keeps' if feasible == 1 else 'keep'} every limit."
