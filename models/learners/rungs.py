"""Rungs of a search that go on with each other: a population pauses, those that are not kept leave it, and the rest go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from models.learners.branching import averaged
from models.learners.learner import Checkpoint, Outcome, Plan
from models.learners.objective import prefixed

if TYPE_CHECKING:
    from models.learners.population import Population

LEFT = "left after a rung"
"""What becomes of a member that is not kept; nobody reads it, as its trials are judged by then."""


def kept_of(plan: Plan, positions: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """By epoch, which members of a population go on: counted within the population, whose members stand at `positions`."""
    return {epoch: tuple(i for i, p in enumerate(positions) if p in own) for epoch, own in plan.kept.items()}


def shrink(population: Population, kept: Mapping[int, tuple[int, ...]]) -> None:
    """Part from the members that do not go on after this epoch; of those that have parted ways all or none are kept."""
    p = population
    if p.epoch not in kept:
        return
    ways = len(p.outcomes) // len(p.members)
    positions = [i for i, member in enumerate(p.alive) if member // ways in kept[p.epoch]]
    if len(positions) == len(p.alive):
        return
    for member in set(p.alive) - {p.alive[i] for i in positions}:
        p.outcomes[member].error = LEFT
    p.keep(positions)


def so_far(population: Population) -> list[Outcome]:
    """The outcome of each member as if training ended here; the population may go on as if nobody had asked."""
    p, kept = population, population.outcomes
    try:
        p.outcomes = [replace(outcome, history=list(outcome.history)) for outcome in kept]
        for position, member in enumerate(p.alive):
            p.outcomes[member].model = p.best_model(position)
        return averaged(p)
    finally:
        p.outcomes = kept


def begun_with(
    stood: Mapping[tuple[int, ...], Checkpoint], waiting: Sequence[Sequence[int]], together: int | None
) -> list[list[int]]:
    """The populations of a run that goes on: those that stood at the pause, and what of the others is not in one of them."""
    whole = [list(own) for own in stood if together is None or len(own) <= together]
    known = {position for own in whole for position in own}
    return [*whole, *([p for p in own if p not in known] for own in waiting if not known.issuperset(own))]


def paused(populations: Sequence[tuple[Sequence[int], Checkpoint]]) -> Checkpoint:
    """The populations of a run that has come to its rung, each with the positions of its members, as one checkpoint."""
    tensors = {f"paused/{i}/{k}": v for i, (_, own) in enumerate(populations) for k, v in own.tensors.items()}
    return Checkpoint(tensors, {"paused": [[list(positions), own.numbers] for positions, own in populations]})


def of_pause(saved: Checkpoint | None) -> dict[tuple[int, ...], Checkpoint]:
    """The inverse of `paused`, by positions; nothing of a checkpoint that was made on the way."""
    if saved is None or "paused" not in saved.numbers:
        return {}
    return {
        tuple(positions): Checkpoint(prefixed(saved.tensors, f"paused/{i}/"), numbers)
        for i, (positions, numbers) in enumerate(saved.numbers["paused"])
    }
