"""TabM: k MLPs in one, which share their weights and differ by adapters, over embedded columns.

Source: Y. Gorishniy, A. Kotelnikov, A. Babenko, TabM: Advancing Tabular Deep Learning with Parameter-Efficient
Ensembling, arXiv:2410.24210, section 3.3. The adapters are of rank one: layer i of member j has the weights
W_i * (s_ij r_ij^T) and the bias b_ij.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.balancing.component import Head
from models.nets.net import Net, activation
from models.nets.piecewise_linear import PiecewiseLinearEmbedding


class Columns(nn.Module):
    """Every column in a vector of `width`: numeric ones piecewise-linear, categorical ones as rows of a table."""

    def __init__(self, edges: Sequence[Sequence[float]], cardinalities: Sequence[int], width: int) -> None:
        super().__init__()
        self.numeric = PiecewiseLinearEmbedding(edges, width)
        self.table = nn.Embedding(max(1, sum(cardinalities)), width)
        bound = width**-0.5
        nn.init.uniform_(self.table.weight, -bound, bound)
        starts = torch.tensor([0, *cardinalities]).cumsum(0)[: len(cardinalities)]
        self.register_buffer("starts", starts.long())
        self.starts: Tensor

    def forward(self, inputs: Tensor, categories: Tensor) -> Tensor:
        """Numeric [B, F] and category ids [B, K] -> [B, (F + K) * width]."""
        parts = []
        if inputs.shape[-1]:
            parts.append(self.numeric(inputs))
        if categories.shape[-1]:
            parts.append(self.table(categories + self.starts))
        return torch.cat(parts, -2).flatten(-2)


class SharedLinear(nn.Module):
    """A linear layer that all members share, with a scale of its inputs and outputs and a bias for each.

    The scales are one at first, and the biases the same for all: what tells the members apart comes before.
    """

    spared = ("scale_in", "scale_out", "bias")

    def __init__(self, members: int, inputs: int, outputs: int, scale_in: Tensor | None = None) -> None:
        super().__init__()
        one = nn.Linear(inputs, outputs)
        self.weight = nn.Parameter(one.weight.detach())
        self.bias = nn.Parameter(one.bias.detach().expand(members, -1).clone())
        self.scale_in = nn.Parameter(torch.ones(members, inputs) if scale_in is None else scale_in)
        self.scale_out = nn.Parameter(torch.ones(members, outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, k, inputs] -> [B, k, outputs]."""
        scaled = inputs * self.scale_in
        # Rows and members in one dimension: one large product, in a population as well.
        product = functional.linear(scaled.flatten(0, 1), self.weight).unflatten(0, scaled.shape[:2])
        return torch.addcmul(self.bias, product, self.scale_out)


def first_scales(members: int, columns: int, width: int) -> Tensor:
    """What tells the members apart at first: a normal number per member and column, the same along its vector."""
    return torch.randn(members, columns, 1).expand(-1, -1, width).flatten(1).clone()


class Layers(nn.Module):
    """The members' layers, with an activation after each."""

    def __init__(self, members: int, columns: int, embedding: int, hidden: Sequence[int], head: Head | None) -> None:
        super().__init__()
        widths = [columns * embedding, *hidden]
        scales = first_scales(members, columns, embedding)
        self.linear = nn.ModuleList(
            SharedLinear(members, a, b, None if position else scales)
            for position, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.activation = nn.ModuleList(activation(head) for _ in hidden)

    def forward(self, embedded: Tensor) -> Tensor:
        """Embedded columns [B, D] -> the members' features [B, k, H]."""
        features = embedded[:, None]
        for linear, bend in zip(self.linear, self.activation, strict=True):
            features = bend(linear(features))
        return features


def tabm(
    edges: Sequence[Sequence[float]],
    cardinalities: Sequence[int],
    members: int,
    hidden: Sequence[int],
    classes: int,
    head: Head | None,
    embedding: int,
) -> Net:
    """TabM over numeric columns with these bin edges and categorical columns with these cardinalities (id 0 is missing or unknown)."""
    columns = len(edges) + len(cardinalities)
    body = Layers(members, columns, embedding, hidden, head)
    return Net(Columns(edges, cardinalities, embedding), body, hidden[-1], classes, head, members)
