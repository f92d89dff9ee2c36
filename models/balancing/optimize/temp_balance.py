"""TempBalance: layers whose weights' spectrum has a light tail, as of one that has learned little, step further."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import (
    EVERY_TASK,
    Claim,
    GradientTransform,
    Need,
    Source,
    State,
    Task,
    Update,
    View,
    hyper,
)
from models.balancing.optimize.muon import hidden_matrix

SMALLEST_SIDE = 4
"""Matrices with fewer singular values have no tail to speak of."""


def tail_exponent(eigenvalues: Tensor) -> Tensor:
    """The Hill estimate of the exponent of the larger half of the eigenvalues [n]: 1 + k / sum_(i <= k) log(l_i / l_min)."""
    ordered = eigenvalues.clamp(min=1e-12).sort().values
    tail = ordered[len(ordered) // 2 :].log()
    return 1 + len(tail) / (tail - tail[0]).sum().clamp(min=1e-6)


def squared_singular_values(weight: Tensor) -> Tensor:
    """Of a matrix its squared singular values; of filters [out, in, h, w] those of the matrix at each place, together."""
    if weight.dim() == 2:
        return torch.linalg.svdvals(weight).square()
    places = weight.flatten(2).permute(2, 0, 1) * math.sqrt(0.5)
    return torch.linalg.svdvals(places).square().flatten()


def rates(exponents: Tensor, spread: float | Tensor) -> Tensor:
    """1 - spread for the smallest exponent [L], 1 + spread for the largest, linear between; 1 where all are equal."""
    low, high = exponents.min(), exponents.max()
    place = torch.where(high > low, (2 * exponents - high - low) / (high - low).clamp(min=1e-12), 0.0)
    return 1 + spread * place


@dataclass(frozen=True)
class TempBalance(GradientTransform):
    """Learning rates by layer under AdamW, set before every epoch from the spectra of the body's matrices.

    A small exponent, a heavy tail, tells of a layer that is trained well already.
    """

    spread: float | Tensor = hyper(0.5, 0.1, 0.9, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "temp_balance"
    formula: ClassVar[str] = (
        "rate_l = rate (1 - s + 2 s (a_l - min a) / (max a - min a)), a = Hill exponent of the spectrum of W_l^T W_l"
    )
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"net"})
    surveys: ClassVar[bool] = True
    cost: ClassVar[str] = "It takes a singular value decomposition of every matrix before each epoch."
    source: ClassVar[Source] = Source(
        "Model Balancing Helps Low-data Training and Fine-tuning",
        "Z. Liu, Y. Hu, T. Pang, Y. Zhou, P. Ren, Y. Yang",
        2024,
        "arXiv:2410.12178",
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source(
            "Temperature Balancing, Layer-wise Weight Analysis, and Neural Network Training",
            "Y. Zhou, T. Pang, K. Liu, C. H. Martin, M. W. Mahoney, Y. Yang",
            2023,
            "arXiv:2312.00359",
        ),
    )
    claim: ClassVar[Claim] = Claim("helps where rows are few", "few_rows", "accuracy")

    def init(self, parameters: State) -> State:
        """A factor for each matrix of the body, and for the bias beside it [], all 1."""
        return {k: v.sum() * 0 + 1 for k, v in parameters.items() if _layer(k, parameters) is not None}

    def survey(self, state: State, view: View) -> State:
        """The factors from the spectra as they are."""
        matrices = [k for k in state if k == _layer(k, view.parameters)]
        if not matrices:  # a net that is too narrow for a tail
            return state
        exponents = torch.stack([tail_exponent(squared_singular_values(view.parameters[k])) for k in matrices])
        found = dict(zip(matrices, rates(exponents, self.spread), strict=True))
        return {k: found[_layer(k, view.parameters) or k] for k in state}

    def transform(self, state: State, gradients: State, parameters: State, progress: Tensor) -> Update:
        """The gradients as they are, at the layers' own rates."""
        return Update(gradients, {}, state, dict(state))


def _layer(name: str, parameters: State) -> str | None:
    """The matrix of the layer to which a parameter belongs: itself, or the weight beside a bias; None elsewhere."""
    weight = f"{name.rpartition('.')[0]}.weight"
    value = parameters.get(weight)
    if value is None or not name.endswith((".weight", ".bias")) or not hidden_matrix(weight, value):
        return None
    return weight if min(value.shape[:2]) >= SMALLEST_SIDE else None
