"""The parameters of a population in one buffer, and the optimizer that steps them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.learners import kernels
from models.nets.net import Net

if TYPE_CHECKING:
    from models.learners.clock import Clock

OWN = "own."
"""How the names of the parameters begin that belong to a method and not to the net."""

WARM_UP = 0.05
"""Share of training during which the learning rate rises to its value; from there it falls to zero as a cosine."""


def learning_rate_factor(progress: float) -> float:
    """Linear warm-up, then a cosine to zero, as a function of progress in [0, 1]."""
    if progress < WARM_UP:
        return (progress + 1e-3) / (WARM_UP + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


class Weights:
    """The parameters of all members in one buffer [P, N], with a view per parameter that gradients are taken of."""

    def __init__(self, nets: Sequence[Net], own: Sequence[Mapping[str, Tensor]], device: torch.device) -> None:
        named = [
            {**dict(net.named_parameters()), **{f"{OWN}{k}": v for k, v in o.items()}}
            for net, o in zip(nets, own, strict=True)
        ]
        self.shapes = {name: value.shape for name, value in named[0].items()}
        # On the host first: a net may be on the device already, and what a method draws is where its counts are, or is not.
        rows = [torch.cat([value.detach().cpu().reshape(-1) for value in member.values()]) for member in named]
        self.flat = torch.stack(rows).to(device)
        self.views = self._views()
        self.frozen = {name for name, value in nets[0].named_parameters() if not value.requires_grad}
        self._masks: dict[frozenset[str], Tensor] = {}
        self.decays = self.mask({name for name, shape in self.shapes.items() if len(shape) > 1} - nets[0].undecayed)

    def mask(self, names: set[str]) -> Tensor:
        """1 where a parameter of these names lies in the buffer, else 0: [N]; made once, and not to be changed."""
        key = frozenset(names)
        if key not in self._masks:
            parts = [torch.full((shape.numel(),), float(name in names)) for name, shape in self.shapes.items()]
            self._masks[key] = torch.cat(parts).to(self.flat.device)
        return self._masks[key]

    def trained(self, prefix: str) -> set[str] | None:
        """The names that a phase with this `trains` trains; None for all. Methods' own parameters always train."""
        names = set(self.shapes)
        if prefix != "all":
            names = {n for n in names if n.startswith((OWN, f"{prefix}.")) or n == prefix}
        names -= self.frozen - {prefix}
        return None if len(names) == len(self.shapes) else names

    def _views(self) -> dict[str, Tensor]:
        views, start = {}, 0
        for name, shape in self.shapes.items():
            part = self.flat[:, start : start + shape.numel()].view(-1, *shape)
            views[name] = part.detach().requires_grad_()
            start += shape.numel()
        return views

    def replace(self, flat: Tensor) -> None:
        """Put other values, of as many members as there are rows, in the place of these."""
        self.flat = flat.contiguous()
        self.views = self._views()

    def flatten(self, values: Mapping[str, Tensor]) -> Tensor:
        """Values by name -> [P, N]; zero where a name is missing."""
        flat, start = torch.empty_like(self.flat), 0
        for name, shape in self.shapes.items():
            place = flat[:, start : start + shape.numel()].view(-1, *shape)
            # Straight to its place: a gradient is often transposed, and would be copied twice.
            place.copy_(values[name]) if name in values else place.zero_()
            start += shape.numel()
        return flat


class AdamW:
    """AdamW on the flat buffer, with a learning rate and a weight decay per member.

    Source: I. Loshchilov, F. Hutter, Decoupled Weight Decay Regularization, arXiv:1711.05101.
    """

    BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

    def __init__(self, weights: Weights, rate: Tensor, decay: Tensor) -> None:
        self.first = torch.zeros_like(weights.flat)
        self.second = torch.zeros_like(weights.flat)
        self.rate, self.decay = rate[:, None], decay[:, None]
        self.steps = 0

    def restart(self) -> None:
        """Forget the moments, as if no step had been taken."""
        self.first.zero_()
        self.second.zero_()
        self.steps = 0

    def step(
        self,
        weights: Weights,
        gradient: Tensor,
        clock: Clock,
        mask: Tensor | None,
        given: tuple[Tensor, Tensor] | None = None,
        rates: Tensor | None = None,
    ) -> None:
        """One update; the clock's factor scales the learning rates, `mask` [N] names what is trained. Whoever steps counts.

        `given` are directions [P, N] that a method gives, and where [N] they stand in the place of AdamW's own; `rates`
        [P, N] are its factors on the learning rate.
        """
        if given is None and rates is None:
            moments, own = (self.first, self.second), (self.rate, self.decay)
            factors = (clock.factor, clock.first, clock.second)
            constants = (self.BETA1, self.BETA2, self.EPSILON)
            if kernels.adamw(weights.flat, moments, gradient, own, weights.decays, mask, factors, constants):
                return
        self.first.lerp_(gradient, 1 - self.BETA1)
        self.second.mul_(self.BETA2).addcmul_(gradient, gradient, value=1 - self.BETA2)
        direction = self.second.sqrt().div_(clock.second).add_(self.EPSILON)
        torch.div(self.first, direction, out=direction)
        if given is not None:
            direction = torch.where(given[1] > 0, given[0] * clock.first, direction)
        rate = self.rate * clock.factor
        if rates is not None:
            rate = rate * rates
        shrink = 1 - rate * self.decay * weights.decays
        if mask is not None:
            direction.mul_(mask)
            shrink = shrink * mask + (1 - mask)
        weights.flat.mul_(shrink).sub_(direction.mul_(rate / clock.first))

    def keep(self, members: Tensor) -> None:
        """Drop all members but these positions."""
        self.first, self.second = self.first[members], self.second[members]
        self.rate, self.decay = self.rate[members], self.decay[members]
