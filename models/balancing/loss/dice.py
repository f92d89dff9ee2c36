"""Dice and Tversky losses: overlap of prediction and target instead of likelihood, so that easy negatives weigh little."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Loss, Source, State, hyper
from models.data import Batch

SOURCE = Source(
    "Dice Loss for Data-imbalanced NLP Tasks",
    "X. Li, X. Sun, Y. Meng, J. Liang, F. Wu, J. Li",
    2019,
    "arXiv:1911.02855",
)


def judged_classes(of_classes: Tensor) -> Tensor:
    """[…, C] -> the classes whose overlap counts: of two the positive one alone, as in the paper; of more all of them.

    The terms of both classes together price a miss and a false alarm alike, which takes away what the losses are for.
    """
    return of_classes[..., 1:] if of_classes.shape[-1] == 2 else of_classes


def dice(p: Tensor, targets: Tensor, smooth: float | Tensor) -> Tensor:
    """sum_c 1 - (2 p_c t_c + smooth) / (p_c^2 + t_c^2 + smooth) per row [B]."""
    return (1 - (2 * p * targets + smooth) / (p.square() + targets.square() + smooth)).sum(-1)


def batch_dice(p: Tensor, targets: Tensor, weights: Tensor, smooth: float | Tensor) -> Tensor:
    """mean_c 1 - (2 sum_i p_ic t_ic + smooth) / (sum_i p_ic^2 + sum_i t_ic^2 + smooth) over the rows of a batch []."""
    rows = (weights * len(weights) / weights.sum().clamp(min=1e-12))[:, None]
    both, each = (rows * p * targets).sum(0), (rows * (p.square() + targets.square())).sum(0)
    return (1 - (2 * both + smooth) / (each + smooth)).mean()


def tversky(p: Tensor, targets: Tensor, alpha: float | Tensor, beta: float | Tensor, smooth: float | Tensor) -> Tensor:
    """sum_c 1 - (p t + smooth) / (p t + alpha p (1-t) + beta (1-p) t + smooth) per row [B]."""
    hit = p * targets
    below = hit + alpha * p * (1 - targets) + beta * (1 - p) * targets
    return (1 - (hit + smooth) / (below + smooth)).sum(-1)


def self_adjusting_dice(p: Tensor, targets: Tensor, alpha: float | Tensor, smooth: float | Tensor) -> Tensor:
    """sum_c 1 - (2 (1-p_c)^alpha p_c t_c + smooth) / ((1-p_c)^alpha p_c + t_c + smooth) per row [B]."""
    adjusted = torch.exp(alpha * (1 - p).clamp(min=1e-12).log()) * p
    return (1 - (2 * adjusted * targets + smooth) / (adjusted + targets + smooth)).sum(-1)


@dataclass(frozen=True)
class Dice(Loss):
    """The dice loss of each row: of two classes for the positive one, of more each against the rest.

    With `smooth` 1, the paper's value, a row is decided positive from a probability of 0.56 on; see `batch_dice`.
    """

    smooth: float | Tensor = hyper(1.0, 1e-4, 1.0, log=True, minimum=1e-6, maximum=100.0)

    name: ClassVar[str] = "dice"
    formula: ClassVar[str] = "L = sum_c 1 - (2 p_c t_c + s) / (p_c^2 + t_c^2 + s)"
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "raises F1 where positives are rare",
        "rare_positive",
        "f1",
        remark="row by row it is least where a row is called positive from a probability of 0.56 on, plain training does so from "
        "0.5 on, and the best F1 lies lower; `batch_dice` takes one overlap of all rows",
    )

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        p = torch.softmax(logits, -1)
        return dice(judged_classes(p), judged_classes(batch.targets), self.smooth)


@dataclass(frozen=True)
class BatchDice(Loss):
    """The paper's other form, "easier for optimization": one overlap of all rows of the batch, which is a soft F1."""

    smooth: float | Tensor = hyper(1.0, 1e-4, 1.0, log=True, minimum=1e-6, maximum=100.0)

    name: ClassVar[str] = "batch_dice"
    formula: ClassVar[str] = "L = mean_c 1 - (2 sum_i p_ic t_ic + s) / (sum_i p_ic^2 + sum_i t_ic^2 + s)"
    set_level: ClassVar[bool] = True
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim("raises F1 where positives are rare", "rare_positive", "f1")

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> the loss of the batch []."""
        p = torch.softmax(logits, -1)
        return batch_dice(judged_classes(p), judged_classes(batch.targets), batch.weights, self.smooth)


@dataclass(frozen=True)
class Tversky(Loss):
    """The Tversky loss of each row; alpha prices false positives, beta false negatives.

    A row is decided positive from odds of alpha (beta + s) : beta (alpha + s) on. From a probability of 0.36 with the
    defaults, where no step leads away from calling every row negative unless its probability is above 0.38.
    """

    alpha: float | Tensor = hyper(0.3, 0.1, 0.9, minimum=0.0, maximum=10.0)
    beta: float | Tensor = hyper(0.7, 0.1, 0.9, minimum=0.0, maximum=10.0)
    smooth: float | Tensor = hyper(1.0, 1e-4, 1.0, log=True, minimum=1e-6, maximum=100.0)

    name: ClassVar[str] = "tversky"
    formula: ClassVar[str] = "L = sum_c 1 - (p_c t_c + s) / (p_c t_c + alpha p_c (1-t_c) + beta (1-p_c) t_c + s)"
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "raises F1 where positives are rare by weighing misses more than alarms",
        "rare_positive_fitted",
        "f1",
        values={"alpha": 0.1, "beta": 0.9, "smooth": 1.0},
    )

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        p, t = judged_classes(torch.softmax(logits, -1)), judged_classes(batch.targets)
        return tversky(p, t, self.alpha, self.beta, self.smooth)


@dataclass(frozen=True)
class SelfAdjustingDice(Loss):
    """DSC: the dice loss with (1-p)^alpha before p, which takes the pull from rows that are already decided."""

    alpha: float | Tensor = hyper(1.0, 0.1, 2.0, minimum=0.0, maximum=10.0)
    smooth: float | Tensor = hyper(1.0, 1e-4, 1.0, log=True, minimum=1e-6, maximum=100.0)

    name: ClassVar[str] = "self_adjusting_dice"
    formula: ClassVar[str] = "L = sum_c 1 - (2 (1-p_c)^a p_c t_c + s) / ((1-p_c)^a p_c + t_c + s)"
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "raises F1 where positives are rare",
        "rare_positive",
        "f1",
        remark="with its defaults no step leads away from calling a row negative unless its probability is above 0.57; "
        "`batch_dice` takes one overlap of all rows",
    )

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        p, t = judged_classes(torch.softmax(logits, -1)), judged_classes(batch.targets)
        return self_adjusting_dice(p, t, self.alpha, self.smooth)
