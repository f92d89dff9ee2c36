"""Which units of a net's layers are kept in a step, drawn for each member with its own rate and its own randomness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from models.learners.population import Population

KEPT = "net/kept"
"""The key of the factors among the draws of a batch."""

LEVELS = 256
"""Rates are rounded to this many levels, so that one random number is enough for eight units."""


def dropout_levels(population: Population) -> list[int] | None:
    """The rate of each member in an epoch, out of 256; None where nothing is dropped."""
    p = population
    if "dropout" not in p.hyper or p.frozen or p.phases[p.phase].pretext is not None or not droppable(p):
        return None
    levels = [round(LEVELS * rate) for rate in p.hyper["dropout"].tolist()]
    return levels if any(levels) else None


def droppable(population: Population) -> int:
    """Units of the net that may be dropped."""
    return sum(getattr(population.net.body, "droppable", ()))


def kept_units(population: Population, rows: int, levels: list[int] | None) -> dict[str, Tensor]:
    """Factors [P, rows, units] by key: 0 for a dropped unit, else one over the share that is kept; nothing without dropout.

    A member without dropout draws no number, so that what it sees does not depend on who trains beside it.
    Source: N. Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, JMLR 15, 2014.
    """
    p = population
    if levels is None:
        return {}
    units = droppable(p)
    drawn = [dropout_factors(p.generators[m], rows, units, level) for m, level in zip(p.alive, levels, strict=True)]
    return {KEPT: torch.stack(drawn).to(p.device)}


def dropout_factors(generator: torch.Generator, rows: int, units: int, level: int) -> Tensor:
    """Factors [rows, units] at a rate of `level` out of 256."""
    if level == 0:
        return torch.ones(rows, units)
    words = torch.empty(-(-rows * units // 8), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    numbers = words.view(torch.uint8)[: rows * units].reshape(rows, units)
    return (numbers >= level).float().mul_(LEVELS / (LEVELS - level))
