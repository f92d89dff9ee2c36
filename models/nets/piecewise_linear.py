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

NARROWEST = 1e-6
"""A narrower bin counts as this wide, so that no encoding overflows."""


def quantile_edges(values: NDArray[np.floating], bins: int) -> list[float]:
    """A column [n] -> the increasing edges of at most `bins` bins with about equally many rows each.

    The paper's quantiles, of which those that fall together count once, would leave few bins to a column that is mostly
    zero. So a value with more rows than a bin should have gets an edge of its own, and the bins are shared among the
    others; a column with fewer values than bins gets an edge at each. A column with one value gets one bin above it.
    """
    known, counts = np.unique(values.astype(np.float64), return_counts=True)
    frequent = np.zeros(len(known), dtype=np.bool_)
    while True:
        rows, left = int(counts[~frequent].sum()), bins - int(frequent.sum())
        found = ~frequent & (counts * left > rows)
        if not found.any():
            break
        frequent |= found
    others = np.repeat(known[~frequent], counts[~frequent])
    quantiles = np.quantile(others, np.linspace(0, 1, left + 1)) if len(others) else others
    edges = np.unique(np.concatenate([known[frequent], quantiles]).astype(np.float32)).tolist()
    return edges if len(edges) > 1 else [edges[0], edges[0] + 1.0] if edges else [0.0, 1.0]


class PiecewiseLinearEncoding(nn.Module):
    """Each column in T numbers: 1 in the bins below the value, the share of the way in the value's own, 0 above.

    The first bin goes on below its lower edge, and the last above its upper one. Columns with fewer bins than others
    are filled with zeros.
    """

    def __init__(self, edges: Sequence[Sequence[float]]) -> None:
        super().__init__()
        self.bins = max((len(e) - 1 for e in edges), default=0)
        shape = (len(edges), self.bins)
        left, scale = torch.zeros(shape), torch.zeros(shape)
        low, high = torch.zeros(shape), torch.zeros(shape)
        for column, own in enumerate(edges):
            count = len(own) - 1
            for t, (start, end) in enumerate(itertools.pairwise(own)):
                left[column, t], scale[column, t] = start, 1 / max(end - start, NARROWEST)
                high[column, t] = 1.0
            low[column, 0], high[column, count - 1] = -torch.inf, torch.inf
        for name, value in (("left", left), ("scale", scale), ("low", low), ("high", high)):
            self.register_buffer(name, value)
        self.left: Tensor
        self.scale: Tensor
        self.low: Tensor
        self.high: Tensor

    def forward(self, inputs: Tensor) -> Tensor:
        """Values [B, F] -> encodings [B, F, T]."""
        return ((inputs[..., None] - self.left) * self.scale).clamp(self.low, self.high)


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
