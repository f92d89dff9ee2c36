"""Coins that always fall the same way: what turns a randomized decision into one that a row can be told again."""

import torch
from torch import Tensor

from models.balancing.component import Source

GRID = 1e4
"""Scores are rounded to so many steps per unit, so that the last bits of a sum decide nothing."""

SOURCE = Source("On Making Stochastic Classifiers Deterministic", "A. Cotter, M. Gupta, H. Narasimhan", 2019)

_FIRST, _SECOND, _STEP = -4658895280553007687, -7723592293110705685, -7046029254386353131


def _stirred(bits: Tensor) -> Tensor:
    """The finalizer of SplitMix64 on int64 [n], whose products wrap around."""
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        bits = (bits ^ ((bits >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return bits ^ ((bits >> 31) & ((1 << 33) - 1))


def coins(scores: Tensor, salt: int = 0) -> Tensor:
    """Scores [n, C] -> a number in [0, 1) per row [n] float64, which follows from the scores alone; another `salt`, other numbers.

    Deciding for what has probability p where the number lies below p replaces the draw of a randomized classifier by
    a hash of the row: over many rows the shares are those of the draw, and the same row is always decided alike.
    """
    bits = torch.full(scores.shape[:1], salt, dtype=torch.int64, device=scores.device)
    for column in (scores.double() * GRID).round().long().unbind(-1):
        bits = _stirred((bits ^ column) + _STEP)
    return ((bits >> 11) & ((1 << 53) - 1)).double() / (1 << 53)


def tossed(positive: Tensor, coin: Tensor) -> Tensor:
    """The probability of deciding 'positive' [n] and coins [n] -> decision scores [n, 2]."""
    return torch.stack([coin, positive], -1)
