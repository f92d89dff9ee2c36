"""Which units of a net's layers are kept in a step: each member has its own rate and its own randomness.

The host draws one number for each step of a member; what becomes of every unit is computed from it where the net is, by
integers alone, so that it is the same on each device and does not depend on who trains beside the member. Drawn on the host, a
number for each unit took more than forty times as long as the steps of 256 members on a GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.learners import kernels

if TYPE_CHECKING:
    from models.learners.population import Population

KEPT = "net/kept"
"""The key of the factors among the draws of a batch; until they are computed, of the members' numbers for the step."""

LEVELS = 256
"""Rates are rounded to this many levels, so that 32 random bits are enough for four units."""

GOLDEN = -1640531527
"""2^32 over the golden ratio, as a signed number: what consecutive positions are multiplied with, so that they differ in all bits."""


def step_keys(population: Population, steps: int) -> dict[str, Tensor]:
    """A number for each step of each member [P, steps], int32, by key; nothing where no unit is dropped.

    A member without dropout draws no number, so that what it sees does not depend on who trains beside it.
    """
    p = population
    if "dropout" not in p.hyper or p.frozen or p.phases[p.phase].pretext is not None or not droppable(p):
        return {}
    levels = rate_levels(p.hyper["dropout"]).tolist()
    if not any(levels):
        return {}
    drawn = [
        torch.randint(-(2**31), 2**31, (steps,), generator=p.generators[m], dtype=torch.int32)
        if level
        else torch.zeros(steps, dtype=torch.int32)
        for m, level in zip(p.alive, levels, strict=True)
    ]
    return {KEPT: torch.stack(drawn).to(p.device)}


def rate_levels(rates: Tensor) -> Tensor:
    """Rates of dropout [P] -> how many of 256 equally likely numbers drop a unit [P], uint8."""
    return (LEVELS * rates).round().clamp(0, LEVELS - 1).to(torch.uint8)


def droppable(population: Population) -> int:
    """Units of the net that may be dropped."""
    return sum(getattr(population.net.body, "droppable", ()))


def dropout_factors(keys: Tensor, levels: Tensor, rows: int, units: int, mixed: bool = False) -> Tensor:
    """Numbers of a step [P], int32, and levels [P] -> factors [P, rows, units]: 0 for a dropped unit, else one over the share kept.

    `mixed` says that the units are in bfloat16, and so the factors may be.

    The random bits are a hash of the unit's position and the step's number, as of a generator that counts.
    Sources: N. Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, JMLR 15, 2014;
    J. K. Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011 (counting); the mixing is that of A. Appleby's
    MurmurHash3 with C. Wellons' multipliers and shifts (hash prospector, lowbias32).
    """
    made = kernels.kept_units(keys, levels, rows, units) if mixed else None
    if made is not None:
        return made
    count = rows * units
    words = torch.arange(-(-count // 4), dtype=torch.int32, device=keys.device) * GOLDEN
    hashed = torch.bitwise_xor(words, keys[:, None])
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B - 2**32)):
        hashed.bitwise_xor_(_shifted(hashed, shift)).mul_(factor)
    hashed.bitwise_xor_(_shifted(hashed, 16))
    numbers = hashed.view(torch.uint8)[:, :count].reshape(-1, rows, units)
    scale = LEVELS / (LEVELS - levels.float())
    return (numbers >= levels[:, None, None]) * scale[:, None, None]


def _shifted(words: Tensor, bits: int) -> Tensor:
    """Shifted to the right, with zeros coming in: torch's own shift repeats the sign."""
    return (words >> bits).bitwise_and_((1 << (32 - bits)) - 1)
