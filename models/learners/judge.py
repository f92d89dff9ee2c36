"""How members are judged after an epoch: by the recipe's loss over the validation rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import vmap

from models.balancing.component import Sampler, State, Weigher
from models.data import Batch, one_hot, targets_of
from models.learners.net_model import evaluation_rows
from models.learners.objective import first, stacked, values_of
from models.learners.transforms import judged

if TYPE_CHECKING:
    from models.learners.population import Population

PIECE = 1024
"""Rows that are judged at once on a CPU: what all members make of them then stays in its caches."""


@torch.no_grad()
def judge(population: Population) -> None:
    """Keep each member's best weights; drop members that diverged, or that have waited too long in the last phase."""
    p = population
    if p.phases[p.phase].pretext is not None:
        _keep_last(p)
        return
    with judged(p):
        losses, sound = validation_losses(p), p.sound.cpu()
        if p.plan.workers is not None:
            losses = p.plan.workers.as_first(losses)
        better = losses.isfinite() if p.plan.to_the_end else losses < p.best_loss
        chosen = better.to(p.device)
        p.best = torch.where(chosen[:, None], p.weights.flat, p.best)
    if p.single and bool(better[0]):
        p.best_buffers = {k: v.clone() for k, v in p.buffers.items()}
    p.best_loss = torch.where(better, losses, p.best_loss)
    p.waited = torch.where(better, 0, p.waited + 1)
    last = p.phase == len(p.phases) - 1
    keep = []
    for position, member in enumerate(p.alive):
        outcome = p.outcomes[member]
        outcome.history.append(float(losses[position]))
        outcome.budget_used = p.epoch
        if not math.isfinite(losses[position]):
            outcome.error = _diverged(p, int(sound[position]))
        elif last and (p.epoch == p.plan.budget or (p.waited[position] >= p.plan.patience and _settled(p, position))):
            outcome.model = p.best_model(position)
        else:
            keep.append(position)
    if len(keep) < len(p.alive):
        p.keep(keep)


def _settled(population: Population, position: int) -> bool:
    """Whether a member's rows are drawn as they will be to the end."""
    part = population.method("sample", position)
    return part is None or part.settled({k: v[position] for k, v in population.state["sample"].items()})


def _keep_last(population: Population) -> None:
    """What validation rows cannot judge goes on as it is."""
    p = population
    p.best = p.weights.flat.clone()
    p.best_buffers = {k: v.clone() for k, v in p.buffers.items()}
    for member in p.alive:
        p.outcomes[member].budget_used = p.epoch


def _diverged(population: Population, sound: int) -> str:
    """Why a member is dropped: the methods, the epoch, and the batch if the training loss was the first to go."""
    methods = ", ".join(c.name for c in population.recipe.in_training()) or "none"
    if sound <= population.batch:
        return f"{methods}: the training loss is not finite in epoch {population.epoch}, batch {sound + 1}"
    return f"{methods}: the validation loss is not finite in epoch {population.epoch}"


def validation_losses(population: Population) -> Tensor:
    """The mean of the recipe's loss over the validation rows, unmixed, per member [P] on the host."""
    p, valid = population, population.valid
    p.net.eval()
    factor, views, loss = _judged(p), p.weights.views, p.active.loss
    members = (views, {"loss": p.state["loss"]}, p.acting_hyper())
    every = torch.arange(len(valid), device=p.device)
    pieces = every.split(min(evaluation_rows(p.net), PIECE) if p.device.type == "cpu" else evaluation_rows(p.net))

    def predicted(parameters: dict[str, Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
        return p.objective.predict(parameters, valid.numeric[rows], valid.categorical[rows])

    def scored(
        draws: dict[str, Tensor],
        parameters: dict[str, Tensor],
        state: dict[str, State],
        hyper: dict[str, Tensor],
        weights: Tensor,
        found: tuple[Tensor, ...],
        rows: Tensor,
    ) -> Tensor:
        """The sum of the rows' weighted losses; of a set-level loss, the loss of the set."""
        logits, features = found[0], found[1] if len(found) > 1 else None
        labels = valid.labels[rows]
        targets = targets_of(labels, valid.values[rows], valid.classes, valid.task)
        batch = Batch(
            valid.numeric[rows], valid.categorical[rows], targets, labels, valid.groups[rows], weights, rows, features,
            logits, valid.task,
        )  # fmt: skip
        known = p.objective.state_of("loss", state, parameters, draws)
        progress = torch.tensor(1.0, device=p.device)
        losses = loss.with_values(values_of("loss", hyper)).losses(known, logits, batch, progress)
        return losses if loss.set_level else (losses * weights).sum()

    if loss.set_level:
        logits = torch.cat([_mapped(p, predicted, (views,), rows)[1] for rows in pieces], 1)
        drawn = judging_draws(p, len(valid))
        of_set: Tensor = _mapped(p, partial(scored, drawn), (*members, factor, (logits,)), every)
        return of_set.cpu()
    total = torch.zeros(len(p.alive), device=p.device)
    for rows in pieces:
        features, logits = _mapped(p, predicted, (views,), rows)
        drawn = judging_draws(p, len(rows))
        total += _mapped(p, partial(scored, drawn), (*members, factor[:, rows], (logits, features)), rows)
    return (total / factor.sum(1)).cpu()


def judging_draws(population: Population, rows: int) -> dict[str, Tensor]:
    """The random numbers of the loss for validation rows, by `loss/name`: the same after every epoch."""
    drawn = population.active.loss.draw(torch.Generator().manual_seed(0), 1, rows)
    return {f"loss/{k}": v[0].to(population.device) for k, v in drawn.items()}


def _judged(population: Population) -> Tensor:
    """How much each validation row counts for each member [P, n]: by its weight, and as sampling, weighing and steps ask."""
    p, valid = population, population.valid
    per_class = p.active.optimize is not None and p.active.optimize.per_class
    if p.active.weigh is None and p.active.sample is None and not per_class:
        return valid.weights.expand(len(p.alive), -1)
    rows = []
    for position in range(len(p.alive)):
        factor = valid.weights
        for slot in ("weigh", "sample"):
            part, fixed = p.method(slot, position), None
            if isinstance(part, Sampler):
                state = {k: v[position] for k, v in p.state["sample"].items()}
                fixed = part.judged(state, valid.labels, valid.groups, p.statistics)
            elif isinstance(part, Weigher):
                fixed = part.row_weights(p.statistics, valid.labels, valid.groups)
            factor = factor if fixed is None else factor * fixed
        if per_class:  # in its steps classes count alike, whatever else weighs their rows
            of_class = factor @ one_hot(valid.labels, valid.classes)
            factor = factor / torch.where(of_class > 0, of_class, 1)[valid.labels]
        rows.append(factor)
    return torch.stack(rows)


def _mapped(population: Population, function: Callable[..., Any], members: tuple[Any, ...], rows: Tensor) -> Any:
    """A function of one member and of rows, for all members."""
    if population.single:
        return stacked(function(*first(members), rows))
    return vmap(function, in_dims=(*[0] * len(members), None))(*members, rows)
