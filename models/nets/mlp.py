"""A multilayer perceptron with categorical embeddings, for tables."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.balancing.component import Head
from models.nets.net import Net, activation
from models.schema import Task

SMALL = 0.05
"""Bound of the vectors at first: torch's own, normal ones, let a net learn rows by heart before it learns anything."""


SMALL_TABLE = 256
"""Rows of a table up to which an accelerator finds them by a product."""


def by_index(table: Tensor, rows: Tensor, starts: Tensor) -> Tensor:
    """Rows of a table [R, width] for each column, [B, K] -> [B, K * width]; those of column k begin at `starts[k]`.

    The gradient of an index is several times as fast as that of torch's own lookup.
    """
    return table[rows].flatten(-2)


def by_product(table: Tensor, rows: Tensor, starts: Tensor) -> Tensor:
    """The same as a product with what says which rows are chosen [B, R]; the table has a block of width for each column.

    For its gradient nothing is sorted, which takes an accelerator longer than the products of a step.
    """
    every, columns = (
        torch.arange(len(table), device=table.device)[:, None],
        torch.arange(len(starts), device=table.device),
    )
    owned = (every >= starts) & ((every < starts.roll(-1)) | (columns == len(starts) - 1))
    blocks = (table[:, None, :] * owned[:, :, None]).flatten(1)
    # Of nothing that members have of their own: rows that all of them are judged on are marked once.
    nothing = torch.zeros(len(rows), len(table), dtype=table.dtype, device=table.device)
    return nothing.scatter(1, rows, 1.0) @ blocks


class Embedding(nn.Module):
    """Numeric columns as they are, categorical ones as rows of one table of embeddings with an offset per column."""

    def __init__(self, cardinalities: Sequence[int], width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(max(1, sum(cardinalities)), width)
        nn.init.uniform_(self.table.weight, -SMALL, SMALL)
        starts = torch.tensor([0, *cardinalities]).cumsum(0)[: len(cardinalities)]
        self.register_buffer("starts", starts.long())
        self.starts: Tensor

    def forward(self, inputs: Tensor, categories: Tensor) -> Tensor:
        """Numeric [B, F] and category ids [B, K] -> [B, F + K * width]."""
        if categories.shape[-1] == 0:
            return inputs
        table, rows = self.table.weight, categories + self.starts
        small = table.device.type == "cuda" and len(table) <= SMALL_TABLE
        return torch.cat([inputs, (by_product if small else by_index)(table, rows, self.starts)], -1)


class Layers(nn.Sequential):
    """Linear layers with an activation between and after, ReLU unless the head brings another."""

    def __init__(self, widths: Sequence[int], head: Head | None = None) -> None:
        pairs = [(nn.Linear(a, b), activation(head)) for a, b in itertools.pairwise(widths)]
        super().__init__(*[module for pair in pairs for module in pair])
        self.droppable = tuple(widths[1:])

    def forward(self, input: Tensor, kept: Tensor | None = None) -> Tensor:
        """[B, I] -> [B, H]; `kept` are factors [B, units] of what all layers give, side by side."""
        if kept is None:
            passed: Tensor = super().forward(input)
            return passed
        modules = list(self)
        for linear, step, factors in zip(modules[::2], modules[1::2], kept.split(self.droppable, -1), strict=True):
            passed = step(linear(input))
            input = passed * factors.to(passed.dtype)
        return input


def mlp(
    numeric: int,
    cardinalities: Sequence[int],
    hidden: Sequence[int],
    outputs: int,
    head: Head | None,
    task: Task = "multiclass",
    width: int = 8,
) -> Net:
    """An MLP over `numeric` columns and categorical columns with these cardinalities (id 0 is missing or unknown)."""
    inputs = numeric + width * len(cardinalities)
    return Net(Embedding(cardinalities, width), Layers([inputs, *hidden], head), hidden[-1], outputs, head, task=task)
