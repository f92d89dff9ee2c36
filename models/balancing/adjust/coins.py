"""Coins that always fall the same way: what turns a randomized decision into one that a row can be told again."""

import torch
from torch import Tensor

from models.balancing.component import Source

GRID = 1e4
"""Scores are rounded to so many steps per unit, so that the last bits of a sum decide nothing."""

SOURCE = Source("On Making Stochastic Classifiers Deterministic", "A. Cotter, M. Gupta, H. Narasimhan", 2019)

PRIME = 16_777_213
"""Hashes are numbers below this prime: their products are exact in float64, on every device and in every graph."""


def _modulo(number: Tensor) -> Tensor:
    """Whole numbers below 2^50 in float64, modulo the prime."""
    rest = number - PRIME * (number / PRIME).floor()
    rest = torch.where(rest < 0, rest + PRIME, rest)
    return torch.where(rest >= PRIME, rest - PRIME, rest)


def coins(scores: Tensor, salt: int = 0) -> Tensor:
    """Scores [n, C] -> a number in [0, 1) per row [n] float64, which follows from the scores alone; another `salt`, other numbers.

    Deciding for what has probability p where the number lies below p replaces the draw of a randomized classifier by
    a hash of the row: over many rows the shares are those of the draw, and the same row is always decided alike. The
    hash is a polynomial of the rounded scores modulo a prime.
    """
    rounded = (scores.double().clamp(-1e6, 1e6) * GRID).round()
    hashed = torch.zeros_like(rounded[:, 0]) + (2_654_435 + 7_919_317 * salt) % PRIME
    for column in (*range(scores.shape[1]), None, None):
        added = rounded[:, column] if column is not None else torch.full_like(hashed, 3_141_592.0)
        hashed = _modulo(hashed * hashed + 48_271 * hashed + _modulo(added))
    return hashed / PRIME


def tossed(positive: Tensor, coin: Tensor) -> Tensor:
    """The probability of deciding 'positive' [n] and coins [n] -> decision scores [n, 2]."""
    return torch.stack([coin, positive], -1)
