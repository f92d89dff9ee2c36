"""Several processes that train one net together: each passes its share of every batch through the net's body.

A batch's rows are drawn once, as by a single process, and worker r takes the rows r, r + W, r + 2 W, … of them: over all
workers an epoch is, row for row, that of a single process, whatever the sampler. The features of all workers are put
together again before anything looks at them. So what comes after the body (the classifier, losses that are defined on a
set of rows, weights that groups or rows are given, penalties by group, mixing) sees the whole batch on every worker, and
means what it means in a single process: no method needs to know of this. Only the gradients of the body are parts, which
are summed; all others are whole on every worker, and averaged so that rounding does not let the workers drift apart.

What does not go through is a net whose layers look at other rows (normalization by the batch's statistics), as a worker's
body has a share of them only: such nets are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

BODY = "body."
"""How the names of the parameters begin whose gradients a worker has a part of."""


class Workers:
    """The processes of torch's default group, which whoever starts them has made. Every one must make the same calls."""

    def __init__(self) -> None:
        self.rank, self.count = dist.get_rank(), dist.get_world_size()

    def share(self, rows: Tensor, dim: int = 0) -> Tensor:
        """This worker's rows of a tensor [B, …] of all: [ceil(B / W), …], filled up with the last row."""
        taken: Tensor = _Share.apply(rows, dim, self.rank, self.count)
        return taken

    def together(self, rows: Tensor, total: int, dim: int = 0) -> Tensor:
        """The rows of all workers [total, …] in the order of the batch, from each one's own."""
        joined: Tensor = _Together.apply(rows, total, dim, self.rank, self.count)
        return joined

    def whole(self, gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Gradients of the whole batch by name, the same on every worker, from each one's."""
        flat = torch.cat([(g if k.startswith(BODY) else g / self.count).reshape(-1) for k, g in gradients.items()])
        dist.all_reduce(flat)
        parts = flat.split([g.numel() for g in gradients.values()])
        return {k: part.reshape(g.shape) for (k, g), part in zip(gradients.items(), parts, strict=True)}

    def as_first(self, value: Tensor) -> Tensor:
        """The first worker's value of a tensor of this shape, on every worker: what decides must be the same for all."""
        value = value.contiguous()
        dist.broadcast(value, 0)
        return value

    def first_says(self, yes: bool) -> bool:
        """What the first worker says to a question that each would answer for itself."""
        return bool(self.as_first(torch.tensor(float(yes))) > 0)


class _Share(torch.autograd.Function):
    """Rows r, r + W, … of a dimension; the gradient of all rows is put together from the workers'."""

    @staticmethod
    def forward(rows: Tensor, dim: int, rank: int, count: int) -> Tensor:
        return rows.index_select(dim, _places(rows.shape[dim], rank, count, rows.device))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        rows, ctx.dim, ctx.rank, ctx.count = inputs
        ctx.total = rows.shape[ctx.dim]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _Together.apply(gradient, ctx.total, ctx.dim, ctx.rank, ctx.count), None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], rows: Tensor, dim: int, rank: int, count: int) -> tuple[Tensor, int]:
        return _Share.apply(rows.movedim(in_dims[0], 0), dim + 1, rank, count), 0


class _Together(torch.autograd.Function):
    """All workers' rows of a dimension, in the batch's order; the gradient is that of the worker's own rows."""

    @staticmethod
    def forward(rows: Tensor, total: int, dim: int, rank: int, count: int) -> Tensor:
        own = rows.movedim(dim, 0).contiguous()
        everybody = own.new_empty(count, *own.shape)
        dist.all_gather(list(everybody.unbind()), own)
        return everybody.transpose(0, 1).reshape(-1, *own.shape[1:])[:total].movedim(0, dim)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        rows, ctx.total, ctx.dim, ctx.rank, ctx.count = inputs
        ctx.own = rows.shape[ctx.dim]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        places = torch.arange(ctx.own, device=gradient.device) * ctx.count + ctx.rank
        own = gradient.index_select(ctx.dim, places.clamp(max=ctx.total - 1))
        # The rows that filled up a worker's share are nobody's.
        there = (places < ctx.total).reshape(-1, *[1] * (gradient.dim() - ctx.dim - 1))
        return torch.where(there, own, own.new_zeros(())), None, None, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], rows: Tensor, total: int, dim: int, rank: int, count: int
    ) -> tuple[Tensor, int]:
        return _Together.apply(rows.movedim(in_dims[0], 0), total, dim + 1, rank, count), 0


def _places(total: int, rank: int, count: int, device: torch.device) -> Tensor:
    own = -(-total // count)
    return (torch.arange(own, device=device) * count + rank).clamp(max=total - 1)
