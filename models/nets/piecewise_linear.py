"""Numeric columns as piecewise-linear encodings, and a linear embedding of each.

Source: Y. Gorishniy, I. Rubachev, A. Babenko, On Embeddings for Numerical Features in Tabular Deep Learning,
arXiv:2203.05556, sections 3.1 (equation 1) and 3.2.1.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def quantile_edges(values: NDArray[np.floating], bins: int) -> list[float]:
    """A column [n] -> the increasing edges of at most `bins` bins with about equally many rows each.

    Quantiles that fall together count once, so that a column with few values gets few bins. A column with one value gets
    one bin of width 1 above it.
    """
    edges = np.unique(np.quantile(values.astype(np.float64), np.linspace(0, 1, bins + 1)).astype(np.float32))
    if len(edges) < 2:
        edges = np.concatenate([edges, edges + 1]) if len(edges) else np.array([0.0, 1.0], dtype=np.float32)
    return [float(edge) for edge in edges]


class PiecewiseLinearEncoding(nn.Module):
    """Each column in T numbers: 1 in the bins below the value, the share of the way in the value's own, 0 above.

    The first bin goes on below its lower edge, and the last above its upper one. Columns with fewer bins than others
    are filled with zeros.
    """

    def __init__(self, edges: Sequence[Sequence[float]]) -> None:
        super().__init__()
        self.bins = max((len(e) - 1 for e in edges), default=0)
        shape = (len(edges), self.bins)
        scale, shift = torch.zeros(shape), torch.zeros(shape)
        low, high = torch.zeros(shape), torch.zeros(shape)
        for column, own in enumerate(edges):
            count = len(own) - 1
            for t, (left, right) in enumerate(itertools.pairwise(own)):
                scale[column, t], shift[column, t] = 1 / (right - left), -left / (right - left)
                high[column, t] = 1.0
            low[column, 0], high[column, count - 1] = -torch.inf, torch.inf
        for name, value in (("scale", scale), ("shift", shift), ("low", low), ("high", high)):
            self.register_buffer(name, value)
        self.scale: Tensor
        self.shift: Tensor
        self.low: Tensor
        self.high: Tensor

    def forward(self, inputs: Tensor) -> Tensor:
        """Values [B, F] -> encodings [B, F, T]."""
        return torch.addcmul(self.shift, inputs[..., None], self.scale).clamp(self.low, self.high)


class PiecewiseLinearEmbedding(nn.Module):
    """Each column in a vector of `width`: a linear function of its value, and one of its encoding that begins at zero.

    The two together are the later version of the embedding, of the authors' package rtdl_num_embeddings ("B").
    """

    spared = ("weight", "bias")

    def __init__(self, edges: Sequence[Sequence[float]], width: int) -> None:
        super().__init__()
        self.encoding = PiecewiseLinearEncoding(edges)
        bound = width**-0.5
        self.weight = nn.Parameter(torch.empty(len(edges), width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(len(edges), width).uniform_(-bound, bound))
        self.steps = nn.Parameter(torch.zeros(len(edges), self.encoding.bins, width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Values [B, F] -> embeddings [B, F, width]."""
        linear = torch.addcmul(self.bias, inputs[..., None], self.weight)
        return linear + torch.einsum("bft,ftw->bfw", self.encoding(inputs), self.steps)
