"""Which rows form the batches of an epoch, and the random numbers that go with them; drawn on the host, member by member.

Each member draws from its own generator, so that what it sees does not depend on who trains beside it, nor on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.balancing.component import Learning, Mixer, Sampler, State
from models.data import Split
from models.learners.augmenting import image_moves
from models.learners.objective import Columns, acting

if TYPE_CHECKING:
    from models.learners.population import Population

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
    drawn = []
    for position, member in enumerate(p.alive):
        candidates = p.pool.candidates(position)
        count = len(p.train) if candidates is None else len(candidates)
        order = torch.randperm(count, generator=p.generators[member])
        order = order.repeat(-(-steps * size // count))[: steps * size]
        drawn.append(order if candidates is None else candidates[order])
    return _agreed(p, torch.stack(drawn).reshape(len(p.alive), steps, size).to(p.device))


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
    p, drawn = population, []
    pretext, shape = p.phases[p.phase].pretext, tuple(p.train.numeric.shape[1:])
    for member in p.alive:
        if pretext is not None:
            categories = p.train.categorical.shape[1]
            drawn.append(pretext.draw_views(p.generators[member], steps, size, shape, categories))
            continue
        found: dict[str, Tensor] = {}
        for key, part in acting(p.active).items():
            if isinstance(part, (Mixer, Learning)):
                found.update({f"{key}/{k}": v for k, v in part.draw(p.generators[member], steps, size).items()})
        drawn.append(found)
    made = {k: torch.stack([d[k] for d in drawn]).to(p.device) for k in drawn[0]}
    return made | image_moves(p, steps, size, _mixes_in(p))


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
    p, drawn = population, []
    progress, split, guesses = p.epoch / p.plan.budget, p.pool.split, p.pool.guesses
    for position, (member, sampler) in enumerate(zip(p.alive, samplers, strict=True)):
        state = {k: v[position] for k, v in states.items()}
        order = sampler.order(state, steps, size, p.generators[member])
        if order is None:
            labels = guesses["labels"][position] if guesses else split.labels
            share = sampler.probabilities(state, labels, split.groups, p.statistics, progress)
            if guesses:
                share = share * (guesses["weights"][position] > 0)
            edges = share.double().cumsum(0).cpu()
            uniform = torch.rand(steps * size, generator=p.generators[member], dtype=torch.float64)
            order = torch.searchsorted(edges, uniform * edges[-1], right=True).clamp(max=len(split) - 1)
        order = order.cpu().reshape(-1)
        drawn.append(order if p.pool.positions is None else p.pool.positions.cpu()[order])
    return _agreed(p, torch.stack(drawn).reshape(len(p.alive), steps, size).to(p.device))


def _agreed(population: Population, rows: Tensor) -> Tensor:
    """The rows that the first of several workers has drawn: probabilities may be rounded differently on each machine."""
    workers = population.plan.workers
    return rows if workers is None else workers.as_first(rows)
