"""Which rows form the batches of an epoch, and the random numbers that go with them; drawn on the host, member by member.

Each member draws from its own generator, so that what it sees does not depend on who trains beside it, nor on the device.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from models.balancing.component import Learning, Mixer, Sampler, State
from models.data import Split
from models.learners.augmenting import image_moves
from models.learners.objective import Columns, acting

if TYPE_CHECKING:
    from models.learners.population import Population

Drawn = TypeVar("Drawn")

MOST_THREADS = 8
"""Threads that draw side by side at most: with more they wait for one another."""

STEPS_PER_EPOCH = 40
SMALLEST_BATCH = 32
"""Tables too small for this many batches per epoch take smaller batches, down to the smallest."""


def effective_batch(rows: int, batch: int) -> int:
    """The batch size for a table of `rows`: at most `batch`, a power of two below it where the table is small."""
    wanted = max(SMALLEST_BATCH, rows // STEPS_PER_EPOCH)
    return min(rows, batch if wanted >= batch else 1 << (wanted.bit_length() - 1))


def row_order(population: Population, steps: int, size: int) -> Tensor:
    """The rows of an epoch's batches [P, steps, size]."""
    p = population
    if p.active.sample is not None:
        return _drawn(p, [p.method("sample", i) for i in range(len(p.alive))], p.state["sample"], steps, size)
    candidates = [p.pool.candidates(position) for position in range(len(p.alive))]

    def draw(position: int) -> Tensor:
        own = candidates[position]
        count = len(p.train) if own is None else len(own)
        order = torch.randperm(count, generator=p.generators[p.alive[position]])
        if count < steps * size:
            order = order.repeat(-(-steps * size // count))
        order = order[: steps * size]
        return order if own is None else own[order]

    return _rows(p, draw, steps, size)


def partner_rows(population: Population, steps: int, size: int) -> Tensor | None:
    """The rows of the second batches that `mix` mixes in, if it asks for them."""
    p = population
    if not _mixes_in(p):
        return None
    return _drawn(p, [p.method("mix", i).partners() for i in range(len(p.alive))], {}, steps, size)


def _mixes_in(population: Population) -> bool:
    """Whether the rows of a second batch are mixed in."""
    mix = population.active.mix
    return mix is not None and mix.partners() is not None


def numbers(population: Population, steps: int, size: int) -> dict[str, Tensor]:
    """What the methods of each member draw for an epoch's batches, and where images go, by `key/name`, each [P, steps, …]."""
    p = population
    pretext, shape = p.phases[p.phase].pretext, tuple(p.train.numeric.shape[1:])
    drawing = {key: part for key, part in acting(p.active).items() if isinstance(part, (Mixer, Learning))}

    def draw(position: int) -> dict[str, Tensor]:
        generator = p.generators[p.alive[position]]
        if pretext is not None:
            return pretext.draw_views(generator, steps, size, shape, p.train.categorical.shape[1])
        return {f"{key}/{k}": v for key, part in drawing.items() for k, v in part.draw(generator, steps, size).items()}

    drawn = each(p, draw)
    made = {k: torch.stack([d[k] for d in drawn]).to(p.device) for k in drawn[0]}
    return made | image_moves(p, steps, size, _mixes_in(p))


def each(population: Population, draw: Callable[[int], Drawn]) -> list[Drawn]:
    """What is drawn for each member, by its position; side by side where an accelerator waits for it.

    Every member has a generator of its own, so that it does not matter which draws first.
    """
    positions = range(len(population.alive))
    # A trial on a GPU has one thread for its sums, as one on a CPU has; those that draw here add up nothing.
    threads = min(MOST_THREADS, os.cpu_count() or 1)
    if population.device.type == "cpu" or len(positions) == 1:
        return [draw(position) for position in positions]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(draw, positions))


def columns(split: Split, rows: Tensor, guesses: State | None = None) -> Columns:
    """The columns of the rows of each member's batch [P, B], gathered from the whole tables.

    `guesses` are labels and weights [P, n] that stand in the place of the table's, or nothing.
    """
    flat = rows.reshape(-1)
    tables = (split.numeric, split.categorical, split.labels, split.groups, split.weights, split.values, split.champion)
    *found, values, champion = (t.index_select(0, flat).reshape(*rows.shape, *t.shape[1:]) for t in tables)
    if guesses:
        found[2], found[4] = guesses["labels"].gather(1, rows), guesses["weights"].gather(1, rows)
    return (*found, rows, values, champion)


def _drawn(population: Population, samplers: Sequence[Sampler], states: State, steps: int, size: int) -> Tensor:
    """Rows drawn with each member's probabilities [P, steps, size]."""
    p = population
    progress, split, guesses = p.epoch / p.plan.budget, p.pool.split, p.pool.guesses
    known = [{k: v[position] for k, v in states.items()} for position in range(len(p.alive))]
    orders = [
        sampler.order(own, steps, size, p.generators[member])
        for sampler, own, member in zip(samplers, known, p.alive, strict=True)
    ]
    asked = [position for position, order in enumerate(orders) if order is None]
    places = p.pool.positions.cpu() if p.pool.positions is not None else None

    def share_of(position: int) -> Tensor:
        labels = guesses["labels"][position] if guesses else split.labels
        share = samplers[position].probabilities(known[position], labels, split.groups, p.statistics, progress)
        return share * (guesses["weights"][position] > 0) if guesses else share

    there: dict[int, Tensor] = {}
    if asked and p.device.type != "cpu":
        # The host waits for the device once, not for every member.
        there = dict(zip(asked, torch.stack([share_of(position) for position in asked]).cpu(), strict=True))

    def draw(position: int) -> Tensor:
        order = orders[position]
        if order is None:
            share = there[position] if there else share_of(position)
            edges = share.double().cumsum(0)  # on the host: an accelerator adds in any order
            uniform = torch.rand(steps * size, generator=p.generators[p.alive[position]], dtype=torch.float64)
            order = torch.searchsorted(edges, uniform * edges[-1], right=True).clamp(max=len(split) - 1)
        order = order.cpu().reshape(-1)
        return order if places is None else places[order]

    return _rows(p, draw, steps, size)


def _rows(population: Population, draw: Callable[[int], Tensor], steps: int, size: int) -> Tensor:
    """The rows [P, steps, size], on the device, of which `draw` gives a member's [steps * size], by its position."""
    p = population
    host = torch.empty(len(p.alive), steps * size, dtype=torch.long, pin_memory=p.device.type == "cuda")
    each(p, lambda position: host[position].copy_(draw(position)))
    return _agreed(p, host.reshape(len(p.alive), steps, size).to(p.device, non_blocking=True))


def _agreed(population: Population, rows: Tensor) -> Tensor:
    """The rows that the first of several workers has drawn: probabilities may be rounded differently on each machine."""
    workers = population.plan.workers
    return rows if workers is None else workers.as_first(rows)
