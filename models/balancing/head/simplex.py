"""ETF classifier: class weights fixed at the corners of a regular simplex, so that only features are learned."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.balancing.component import Claim, Head, Source
from models.errors import InputError

SCALE = 30.0
"""The scale of the cosines, as in the cosine classifier."""


def simplex(features: int, classes: int) -> Tensor:
    """[C, H]: sqrt(C / (C-1)) (I - 1/C) U^T, U [H, C] orthonormal and always the same; unit rows with cosine -1 / (C-1)."""
    drawn = torch.randn(features, classes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    basis = torch.linalg.qr(drawn).Q
    centred = torch.eye(classes, dtype=torch.float64) - 1 / classes
    return ((classes / (classes - 1)) ** 0.5 * centred @ basis.T).float()


class SimplexClassifier(nn.Module):
    """[B, H] -> SCALE * <corner, unit feature> [B, C]; nothing of it is trained."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("corners", simplex(features, classes))
        self.corners: Tensor

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, H] -> logits [B, C]."""
        return SCALE * nn.functional.linear(nn.functional.normalize(features, dim=-1), self.corners)


class FixedSimplex(nn.Module):
    """[B, H] -> <corner, feature> [B, C], a linear layer of which nothing is trained."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("weight", simplex(features, classes))
        self.register_buffer("bias", torch.zeros(classes))
        self.weight: Tensor
        self.bias: Tensor

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, H] -> logits [B, C]."""
        return nn.functional.linear(features, self.weight, self.bias)


def enough_features(head: str, features: int, classes: int) -> None:
    """A simplex has its corners in as many dimensions as there are classes."""
    if features < classes:
        raise InputError(
            f"head '{head}': {classes} classes need at least as many features, and the net has {features}. "
            "Widen the last layer (model.hidden), or choose another head."
        )


@dataclass(frozen=True)
class Simplex(Head):
    """A classifier that no imbalance can bend, as it is not learned.

    Features are put on the unit sphere, and the loss is the recipe's; the paper pulls them to the corners by a squared loss of
    their dot product.
    """

    name: ClassVar[str] = "simplex"
    formula: ClassVar[str] = "z_c = s <m_c, f> / |f|, <m_c, m_k> = -1 / (C-1), |m_c| = 1, fixed; s = 30"
    source: ClassVar[Source] = Source(
        "Inducing Neural Collapse in Imbalanced Learning: Do We Really Need a Learnable Classifier at the End of Deep "
        "Neural Network?",
        "Y. Yang, S. Chen, X. Li, L. Xie, Z. Lin, D. Tao",
        2022,
        "arXiv:2203.09081",
    )
    claim: ClassVar[Claim] = Claim(
        "keeps imbalance from bending the classifier, as it is not learned", "separable_tail", "balanced_accuracy"
    )

    def classifier(self, features: int, classes: int) -> nn.Module:
        """The fixed corners; there must be as many features as classes."""
        enough_features(self.name, features, classes)
        return SimplexClassifier(features, classes)


@dataclass(frozen=True)
class FixedSimplexHead(Head):
    """The same corners, for features of any length: part of one-stage weight balancing, where `feature_norm` keeps them short.

    The released code trains a bias beside them.
    """

    name: ClassVar[str] = "fixed_simplex"
    formula: ClassVar[str] = "z_c = <m_c, f>, <m_c, m_k> = -1 / (C-1), |m_c| = 1, fixed"
    linear: ClassVar[bool] = True
    source: ClassVar[Source] = Source(
        "Exploring Weight Balancing on Long-Tailed Recognition Problem",
        "N. Hasegawa, I. Sato",
        2023,
        "arXiv:2305.16573",
    )
    claim: ClassVar[Claim] = Claim(
        "serves rare classes in one training with short features and adjusted logits better than a learned classifier",
        "separable_tail",
        "balanced_accuracy",
        beside={"regularize": "feature_norm", "adjust": "multiplicative_adjustment"},
    )

    def classifier(self, features: int, classes: int) -> nn.Module:
        """The fixed corners; there must be as many features as classes."""
        enough_features(self.name, features, classes)
        return FixedSimplex(features, classes)
