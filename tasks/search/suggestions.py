"""What to try next: Optuna's tree-structured Parzen estimator over families and, given a family, its hyperparameters.

A family's training is judged by the best of its trials, so that a family counts once however many recipes share it. What
a recipe adjusts afterwards is suggested for every recipe from its own results.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from models.balancing.component import Range
from models.seeds import derive_seed
from tasks.search.space import Family, Pair, bounds, rounded

Spaces = Mapping[str, tuple[str, Range]]

FAMILY = "recipe|learner"


class Told(NamedTuple):
    """One trial's result: its pair and values, its objective, how far each limit is exceeded, and a name of its training."""

    pair: Pair
    values: Mapping[str, Any]
    objective: float
    excesses: Mapping[str, float]
    training: int


def suggest(
    families: Sequence[Family], told: Sequence[Told], count: int, seed: int
) -> list[list[tuple[Pair, dict[str, Any]]]]:
    """`count` trainings that follow from these results, in this order, and from the seed alone: the pairs and values of each.

    Limits are Optuna's constraints: configurations that keep them are preferred, whatever their objective.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        # Its own API in flux is no news for the user of a search.
        warnings.simplefilter("ignore")
        return _suggest(families, told, count, seed)


def _suggest(
    families: Sequence[Family], told: Sequence[Told], count: int, seed: int
) -> list[list[tuple[Pair, dict[str, Any]]]]:
    by_name = {family.name: family for family in families}
    family_of = {pair.name: family for family in families for pair in family.pairs}
    choices = _distribution(Range(families[0].name, choices=tuple(by_name)))
    best: dict[int, Told] = {}
    for result in told:
        if result.training not in best or _rank(result) < _rank(best[result.training]):
            best[result.training] = result
    study = _study(seed, min(10, len(families)))
    for result in best.values():
        family = family_of[result.pair.name]
        _tell(study, result, family.space(), {FAMILY: family.name}, {FAMILY: choices})
    adjusting: dict[str, Any] = {}
    for pair in (pair for family in families for pair in family.pairs if pair.afterwards()):
        adjusting[pair.name] = _study(derive_seed(seed, pair.name), min(10, len(families)))
        for result in (r for r in told if r.pair.name == pair.name):
            _tell(adjusting[pair.name], result, pair.afterwards())
    found: list[list[tuple[Pair, dict[str, Any]]]] = []
    for _ in range(count):
        trial = study.ask()
        family = by_name[trial.suggest_categorical(FAMILY, list(by_name))]
        values = _asked(trial, family.space())
        found.append([])
        for pair in family.pairs:
            own = _asked(adjusting[pair.name].ask(), pair.afterwards()) if pair.name in adjusting else {}
            found[-1].append((pair, {key: (values | own)[key] for key in pair.space()}))
    return found


def _rank(result: Told) -> tuple[float, float]:
    return sum(result.excesses.values()), -result.objective


def _study(seed: int, startup: int) -> Any:
    """A study without results."""
    import optuna

    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=False, n_startup_trials=startup)
    return optuna.create_study(sampler=sampler, direction="maximize")


def _tell(
    study: Any,
    result: Told,
    space: Spaces,
    chosen: Mapping[str, Any] | None = None,
    choices: Mapping[str, Any] | None = None,
) -> None:
    """Add a result to a study, with the part of its values that the space has, and what was chosen before them."""
    import optuna

    values = {name: _inside(result.values[key], allowed) for key, (name, allowed) in space.items()}
    trial = optuna.trial.create_trial(
        params={**(chosen or {}), **values},
        distributions={**(choices or {}), **{name: _distribution(allowed) for name, allowed in space.values()}},
        value=result.objective,
        constraints=dict(result.excesses),
    )
    study.add_trial(trial)


def _asked(trial: Any, space: Spaces) -> dict[str, Any]:
    return {key: _ask(trial, name, allowed) for key, (name, allowed) in space.items()}


def _whole(allowed: Range) -> bool:
    """Whether the hyperparameter counts something: its default says so."""
    return isinstance(allowed.default, int) and not isinstance(allowed.default, bool)


def _distribution(allowed: Range) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if allowed.choices is not None:
        return CategoricalDistribution(list(allowed.choices))
    low, high = bounds(allowed)
    if _whole(allowed):
        return IntDistribution(round(low), round(high), log=allowed.log)
    return FloatDistribution(low, high, log=allowed.log)


def _ask(trial: Any, name: str, allowed: Range) -> Any:
    if allowed.choices is not None:
        return trial.suggest_categorical(name, list(allowed.choices))
    low, high = bounds(allowed)
    if _whole(allowed):
        return int(trial.suggest_int(name, round(low), round(high), log=allowed.log))
    return rounded(float(trial.suggest_float(name, low, high, log=allowed.log)), low, high)


def _inside(value: Any, allowed: Range) -> Any:
    """A default may lie outside the searched range; Optuna is told the nearest value inside."""
    if allowed.choices is not None:
        return value if value in allowed.choices else allowed.choices[0]
    low, high = bounds(allowed)
    return min(max(value, low), high)
