"""TabM: k MLPs in one, which share their layers and differ by a scale of their inputs and by their heads.

Source: Y. Gorishniy, A. Kotelnikov, A. Babenko, TabM: Advancing Tabular Deep Learning with Parameter-Efficient
Ensembling, arXiv:2410.24210, section 3.3. This is the paper's TabM-mini: of the adapters of rank one only the first is
kept. Those of the other layers cost a third more time here and gained nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.balancing.component import Head
from models.nets.mlp import Layers
from models.nets.net import Net
from models.nets.piecewise_linear import PiecewiseLinearEmbedding
from models.schema import Task


class Columns(nn.Module):
    """Every column in a vector of `width`: numeric ones piecewise-linear, categorical ones as rows of a table."""

    def __init__(self, edges: Sequence[Sequence[float]], cardinalities: Sequence[int], width: int) -> None:
        super().__init__()
        self.numeric = PiecewiseLinearEmbedding(edges, width) if edges else None
        self.table = nn.Embedding(max(1, sum(cardinalities)), width)
        bound = width**-0.5
        nn.init.uniform_(self.table.weight, -bound, bound)
        starts = torch.tensor([0, *cardinalities]).cumsum(0)[: len(cardinalities)]
        self.register_buffer("starts", starts.long())
        self.starts: Tensor

    def forward(self, inputs: Tensor, categories: Tensor) -> Tensor:
        """Numeric [B, F] and category ids [B, K] -> [B, (F + K) * width]."""
        parts = []
        if self.numeric is not None:
            parts.append(self.numeric(inputs))
        if categories.shape[-1]:
            parts.append(self.table(categories + self.starts))
        return torch.cat(parts, -2).flatten(-2)


class SharedLayers(nn.Module):
    """The layers of an MLP that all members share, after a scale of the embedded columns that each has for itself.

    The scale is what tells the members apart: at first one normal number per member and column, the same along the
    column's vector.
    """

    spared = ("scale",)

    def __init__(self, members: int, columns: int, embedding: int, hidden: Sequence[int], head: Head | None) -> None:
        super().__init__()
        numbers = torch.randn(members, columns, 1)
        self.scale = nn.Parameter(numbers.expand(-1, -1, embedding).flatten(1).clone())
        self.layers = Layers([columns * embedding, *hidden], head)

    def forward(self, embedded: Tensor) -> Tensor:
        """Embedded columns [B, D] -> the members' features [B, k, H]."""
        scaled = embedded[:, None] * self.scale
        # Rows and members in one dimension: one large product per layer, in a population as well.
        features: Tensor = self.layers(scaled.flatten(0, 1)).unflatten(0, scaled.shape[:2])
        return features


def tabm(
    edges: Sequence[Sequence[float]],
    cardinalities: Sequence[int],
    members: int,
    hidden: Sequence[int],
    outputs: int,
    head: Head | None,
    embedding: int,
    task: Task = "multiclass",
) -> Net:
    """TabM over numeric columns with these bin edges and categorical columns with these cardinalities (id 0 is missing or unknown)."""
    columns = len(edges) + len(cardinalities)
    body = SharedLayers(members, columns, embedding, hidden, head)
    return Net(Columns(edges, cardinalities, embedding), body, hidden[-1], outputs, head, members, task)
