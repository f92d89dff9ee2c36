"""How a recipe's method for gradients changes a population's step: the gradients, the directions, the parameters after it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.func import vmap

from models.balancing.averaging import RunningAverage
from models.balancing.component import GradientTransform, State
from models.learners.objective import stacked, values_of

if TYPE_CHECKING:
    from models.learners.population import Population


def transformed(
    population: Population, transform: GradientTransform, gradients: dict[str, Tensor], progress: Tensor
) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor] | None, Tensor | None]:
    """What AdamW takes on, the directions that the transform gives itself with their places, factors on the rate."""
    views = {k: v.detach() for k, v in population.weights.views.items()}
    hyper = population.acting_hyper()

    def one(state: State, gradient: State, parameters: State, values: dict[str, Tensor]) -> tuple[State, ...]:
        part = transform.with_values(values_of("optimize", values))
        update = part.transform(state, gradient, parameters, progress)
        return update.gradients, update.directions, update.state, update.rates or {}

    penalties: dict[str, Tensor] = {}
    if transform.per_class:
        penalties = {k: g[-1] for k, g in gradients.items()}
        gradients = {k: g[:-1] for k, g in gradients.items()}
    left, directions, population.state["optimize"], factors = _by_member(
        population, one, population.state["optimize"], gradients, views, hyper, gradients_at=int(transform.per_class)
    )
    rates = _rates(population, factors) if factors else None
    if penalties:
        left = {k: g + penalties[k] for k, g in left.items()}
        directions = {k: d + penalties[k] for k, d in directions.items()}
    if not directions:
        return left, None, rates
    return left, (population.weights.flatten(directions), population.weights.mask(set(directions))), rates


def _by_member(
    population: Population, one: Callable[..., Any], *given: dict[str, Tensor], gradients_at: int = 0
) -> Any:
    """What `one` makes of each member's part of trees of tensors [P, …]; of the second, P may stand at another place.

    A member alone is spared what mapping costs, which for a small net is as much as a tenth of the step.
    """
    places = [gradients_at if i == 1 else 0 for i in range(len(given))]
    if not population.single:
        return vmap(one, in_dims=tuple(places))(*given)
    return stacked(
        one(*({k: v.select(at, 0) for k, v in tree.items()} for tree, at in zip(given, places, strict=True)))
    )


def _rates(population: Population, factors: dict[str, Tensor]) -> Tensor:
    """Factors [P] by parameter -> one per weight [P, N]; 1 where no factor is given."""
    wide = {
        k: (v - 1).reshape(-1, *[1] * len(population.weights.shapes[k])).expand(-1, *population.weights.shapes[k])
        for k, v in factors.items()
    }
    return 1 + population.weights.flatten(wide)


def constrain(population: Population, transform: GradientTransform) -> None:
    """Put the parameters where the transform lets them be after a step."""
    views = {k: v.detach() for k, v in population.weights.views.items()}

    def one(state: State, parameters: State, values: dict[str, Tensor]) -> State:
        return transform.with_values(values_of("optimize", values)).constrain(state, parameters)

    constrained = _by_member(population, one, population.state["optimize"], views, population.acting_hyper())
    for name, value in constrained.items():
        views[name].copy_(value)


def follow(population: Population, transform: RunningAverage) -> None:
    """Move each member's average after a step."""
    views = {k: v.detach() for k, v in population.weights.views.items()}

    def one(state: State, parameters: State, values: dict[str, Tensor]) -> State:
        return transform.with_values(values_of("optimize", values)).follow(state, parameters)

    population.state["optimize"] = _by_member(
        population, one, population.state["optimize"], views, population.acting_hyper()
    )


@contextlib.contextmanager
def judged(population: Population) -> Iterator[None]:
    """While the block lasts the weights are those that are to be judged: the averages, where a method makes such."""
    transform, weights = population.active.optimize, population.weights
    if not isinstance(transform, RunningAverage):
        yield
        return
    stepped = weights.flat
    weights.replace(weights.flatten(transform.average(population.state["optimize"])))
    try:
        yield
    finally:
        weights.replace(stepped)
