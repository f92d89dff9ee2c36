"""Trainings that part from one beginning and are averaged at the end, for the methods that average weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.balancing.averaging import WeightAverager
from models.balancing.loss.none import PLAIN
from models.data import Split, targets_of
from models.learners.learner import Outcome
from models.learners.net_model import NetModel
from models.learners.weights import OWN
from models.recipe import Recipe

if TYPE_CHECKING:
    from models.learners.population import Population


def averager_of(recipe: Recipe) -> WeightAverager | None:
    """The method that averages weights, if the recipe has one."""
    return next((part for part in recipe.adjust if isinstance(part, WeightAverager)), None)


@torch.no_grad()
def part_ways(population: Population) -> None:
    """Let every member go on from its best weights so far, which become its anchor, once for each of the factors.

    Members are numbered anew: what was member m has become k * m … k * m + k - 1, each with randomness of its own.
    """
    p, averager = population, averager_of(population.recipe)
    assert averager is not None
    count = len(averager.factors)
    p.anchors = p.best.new_zeros(len(p.outcomes), p.best.shape[1])
    index = torch.arange(len(p.alive), device=p.device).repeat_interleave(count)
    p.anchors[p.alive] = p.best
    p.weights.replace(p.best[index])
    p.optimizer.keep(index)
    p.hyper = {k: v[index] for k, v in p.hyper.items()}
    p.hyper["learning_rate"] = p.hyper["learning_rate"] * p.hyper["learning_rate"].new_tensor(averager.factors).repeat(
        len(p.alive)
    )
    p.optimizer.rate = p.hyper["learning_rate"][:, None]
    p.best, host = p.best[index], index.cpu()
    p.best_loss, p.waited = p.best_loss[host], p.waited[host]
    p.state = {key: {k: v[index] for k, v in part.items()} for key, part in p.state.items()}
    p.row_state = {k: v[index] for k, v in p.row_state.items()}
    generators = []
    for generator in p.generators:
        seeds = torch.randint(2**31, (count,), generator=generator).tolist()
        generators += [torch.Generator().manual_seed(seed) for seed in seeds]
    alive = [count * m + b for m in p.alive for b in range(count)]
    outcomes = [replace(o, history=list(o.history)) for o in p.outcomes for _ in range(count)]
    renumber(p, generators, outcomes, alive)


def renumber(
    population: Population, generators: list[torch.Generator], outcomes: list[Outcome], alive: list[int]
) -> None:
    """Put members that have parted in the place of those that have not."""
    p = population
    p.generators, p.outcomes, p.alive = generators, outcomes, alive
    p.single, p.sound = len(outcomes) == 1, p.all_sound()


def averaged(population: Population) -> list[Outcome]:
    """The outcome of each member as it was before it parted: the average of what became of it, or why none of it is left."""
    p, averager = population, averager_of(population.recipe)
    if averager is None or p.anchors is None:
        return p.outcomes
    found, count = [], len(averager.factors)
    for member, anchor in enumerate(p.anchors):
        own = p.outcomes[count * member : count * (member + 1)]
        models = [o.model for o in own if isinstance(o.model, NetModel)]
        outcome = replace(own[0], budget_used=max(o.budget_used for o in own), stopped=any(o.stopped for o in own))
        if models:
            method = averager.with_values(_values(p, member))
            ingredients = torch.stack([flat(_parameters(m)) for m in models])
            net = flat(_net_part(p, anchor))
            weights = method.average(net, ingredients, partial(_judged, models[0], p.valid))
            outcome = replace(outcome, model=with_weights(models[0], weights), error=None)
        found.append(outcome)
    return found


def _values(population: Population, member: int) -> Mapping[str, float]:
    """The averager's hyperparameters as they were set for a member."""
    averager = averager_of(population.recipe)
    key = f"adjust.{averager.name}." if averager is not None else ""
    given = population.members[member].values
    return {k.removeprefix(key): v for k, v in given.items() if key and k.startswith(key)}


def _net_part(population: Population, weights: Tensor) -> dict[str, Tensor]:
    """The parameters of the net by name, without those of methods, out of a row of the population's buffer [N]."""
    tensors, start = {}, 0
    for name, shape in population.weights.shapes.items():
        if not name.startswith(OWN):
            tensors[name] = weights[start : start + shape.numel()].reshape(shape)
        start += shape.numel()
    return tensors


def _parameters(model: NetModel) -> dict[str, Tensor]:
    """The parameters of a net by name, without its buffers."""
    tensors = model.tensors()
    return {name: tensors[name] for name, _ in model.net(next(iter(tensors.values())).device).named_parameters()}


def flat(parameters: Mapping[str, Tensor]) -> Tensor:
    """Parameters by name in one row, in the order of their names."""
    return torch.cat([parameters[name].reshape(-1) for name in sorted(parameters)])


def with_weights(model: NetModel, weights: Tensor) -> NetModel:
    """The same net with other parameters, in the order of `flat`."""
    tensors, start = model.tensors(), 0
    for name, value in sorted(_parameters(model).items()):
        shape = value.shape
        tensors[name] = weights[start : start + shape.numel()].reshape(shape).clone()
        start += shape.numel()
    return NetModel(model.architecture(), tensors)


def _judged(model: NetModel, valid: Split, weights: Tensor) -> float:
    return plain_loss(with_weights(model, weights), valid)


def plain_loss(model: NetModel, valid: Split) -> float:
    """The mean plain loss of validation rows, weighed so that the classes that rows are balanced by count alike."""
    logits = model.logits(valid).double()
    losses = PLAIN[valid.task](logits, targets_of(valid.labels, valid.values, valid.classes, valid.task).double())
    weights = valid.weights.double()
    totals = torch.zeros(valid.classes, dtype=torch.float64, device=weights.device).index_add(0, valid.labels, weights)
    scaled = weights / totals.clamp(min=1e-300)[valid.labels]
    return float((scaled * losses).sum() / scaled.sum())
