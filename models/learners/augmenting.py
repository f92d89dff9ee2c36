"""What becomes of images before a net sees them in training: each is moved by a few pixels, and some are mirrored.

The numbers are drawn for each member with its own rates and its own randomness; the pixels are moved on the device.
Source: K. He, X. Zhang, S. Ren, J. Sun, Deep Residual Learning for Image Recognition, arXiv:1512.03385, section 4.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from models.learners.population import Population

MOVES, PARTNER_MOVES = "net/moves", "net/partner_moves"
"""The keys of the moves among the draws of a batch, and of those of the rows that are mixed in."""


def image_moves(population: Population, steps: int, size: int, partners: bool) -> dict[str, Tensor]:
    """Where each image of an epoch's batches goes [P, steps, size, 3], by key; nothing where none is moved.

    A member that moves none draws no number, so that what it sees does not depend on who trains beside it.
    """
    p = population
    if "shift" not in p.hyper or p.train.numeric.dim() != 4 or p.phases[p.phase].pretext is not None:
        return {}
    rates = list(zip(p.hyper["shift"].tolist(), p.hyper["flip"].tolist(), strict=True))
    if not any(shift or flip for shift, flip in rates):
        return {}
    height, width = p.train.numeric.shape[-2:]
    return {
        key: torch.stack([
            drawn_moves(p.generators[m], (steps, size), (height, width), shift, flip)
            for m, (shift, flip) in zip(p.alive, rates, strict=True)
        ]).to(p.device)
        for key in ((MOVES, PARTNER_MOVES) if partners else (MOVES,))
    }  # fmt: skip


def drawn_moves(
    generator: torch.Generator, shape: tuple[int, int], sides: tuple[int, int], shift: float, flip: float
) -> Tensor:
    """Pixels down and to the right, up to this share of the sides, and 1 for what is mirrored, at this rate: [*shape, 3]."""
    if not shift and not flip:
        return torch.zeros(*shape, 3, dtype=torch.long)
    down, right = (
        torch.randint(-most, most + 1, shape, generator=generator) for most in (round(shift * side) for side in sides)
    )
    return torch.stack([down, right, (torch.rand(shape, generator=generator) < flip).long()], -1)


def moved(images: Tensor, moves: Tensor) -> Tensor:
    """Images [B, channels, height, width], each mirrored and moved as its row of [B, 3] says; what comes in is black."""
    height, width = images.shape[-2:]
    down, right, mirrored = moves.unbind(-1)
    rows = torch.arange(height, device=images.device) - down[:, None]
    columns = torch.arange(width, device=images.device) - right[:, None]
    inside = ((rows >= 0) & (rows < height))[:, None, :, None] & ((columns >= 0) & (columns < width))[:, None, None, :]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    columns = torch.where(mirrored[:, None] > 0, width - 1 - columns, columns)
    taken = images.gather(-2, rows[:, None, :, None].expand(images.shape))
    return taken.gather(-1, columns[:, None, None, :].expand(images.shape)) * inside
