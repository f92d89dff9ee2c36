"""What to try next: Optuna's tree-structured Parzen estimator over pairs and, given a pair, its hyperparameters."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from models.balancing.component import Range
from tasks.search.space import Pair, bounds, rounded

PAIR = "recipe|learner"


class Told(NamedTuple):
    """One trial's result: its pair and values, its objective, and how far each limit is exceeded."""

    pair: Pair
    values: Mapping[str, Any]
    objective: float
    excesses: Mapping[str, float]


def suggest(pairs: Sequence[Pair], told: Sequence[Told], count: int, seed: int) -> list[tuple[Pair, dict[str, Any]]]:
    """`count` configurations that follow from these results, in this order, and from the seed alone.

    Limits are Optuna's constraints: configurations that keep them are preferred, whatever their objective.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    by_name = {pair.name: pair for pair in pairs}
    choices = optuna.distributions.CategoricalDistribution(list(by_name))
    with warnings.catch_warnings():
        # Its own API in flux is no news for the user of a search.
        warnings.simplefilter("ignore")
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=False, n_startup_trials=min(10, len(pairs)))
        study = optuna.create_study(sampler=sampler, direction="maximize")
        for result in told:
            spaces = {name: _distribution(allowed) for name, allowed in result.pair.space().values()}
            values = {
                name: _inside(result.values[key], allowed) for key, (name, allowed) in result.pair.space().items()
            }
            trial = optuna.trial.create_trial(
                params={PAIR: result.pair.name, **values},
                distributions={PAIR: choices, **spaces},
                value=result.objective,
                constraints=dict(result.excesses),
            )
            study.add_trial(trial)
        found = []
        for _ in range(count):
            trial = study.ask()
            pair = by_name[trial.suggest_categorical(PAIR, list(by_name))]
            found.append((pair, {key: _ask(trial, name, allowed) for key, (name, allowed) in pair.space().items()}))
    return found


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
