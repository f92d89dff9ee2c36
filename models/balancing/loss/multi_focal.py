"""Multi-focal modifier: rare labels weigh more and press harder on easy negatives; labels that were left out are recalled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Loss, Source, State, Task, hyper
from models.balancing.loss.asymmetric import SMALLEST, power
from models.data import Batch, Statistics


def rarity(label_counts: Tensor, exponent: float | Tensor) -> Tensor:
    """(1 - log(n_l / max n))^exponent per label [L]: 1 for the most frequent one, slowly more for rarer ones."""
    counts = label_counts.clamp(min=0.5)
    return (1 - (counts / counts.max()).log()) ** exponent


def multi_focal(
    p: Tensor,
    targets: Tensor,
    rarities: Tensor,
    positive: float | Tensor,
    negative: float | Tensor,
    shift: float | Tensor,
) -> Tensor:
    """-r_l (t (1-p)^positive log p + (1-t) m^(negative + r_l) log(1-m)), m = max(p - shift, 0), elementwise [B, L].

    The focus factors are weights: no gradient goes through them.
    """
    shifted = (p - shift).clamp(min=0)
    hit = power(1 - p, positive).detach() * p.clamp(min=SMALLEST).log()
    miss = power(shifted, negative + rarities).detach() * (1 - shifted).clamp(min=SMALLEST).log()
    return -rarities * (targets * hit + (1 - targets) * miss)


def recalled(p: Tensor, targets: Tensor, threshold: float | Tensor) -> Tensor:
    """Targets [B, L] in which a label counts as carried, too, that is likelier than `threshold` and than its mean in the batch."""
    sure = (p > threshold) & (p > p.mean(0, keepdim=True))
    return torch.where(sure, 1.0, targets)


@dataclass(frozen=True)
class MultiFocal(Loss):
    """COMIC's modifier with its correction, for labels of which some are not noted; its balanced classifier is left out.

    Left out as well are the margin that its released code takes off the logits of noted labels, and that it counts recalled
    ones anew. From `start` on a label that is not noted counts as carried where the model is surer of it than `threshold` and
    than of most rows of the batch; with a threshold of 1 nothing is recalled.
    """

    positive: float | Tensor = hyper(0.0, 0.0, 2.0, minimum=0.0, maximum=20.0)
    negative: float | Tensor = hyper(3.0, 0.0, 5.0, minimum=0.0, maximum=20.0)
    shift: float | Tensor = hyper(0.05, 0.0, 0.2, minimum=0.0, maximum=0.9)
    exponent: float | Tensor = hyper(1 / 6, 0.0, 0.5, minimum=0.0, maximum=5.0)
    threshold: float | Tensor = hyper(0.7, 0.6, 1.0, minimum=0.0, maximum=1.0)
    start: float | Tensor = hyper(0.2, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "multi_focal"
    formula: ClassVar[str] = (
        "L = -sum_l r_l (t (1-p)^g+ log p + (1-t) m^(g- + r_l) log(1-m)), m = max(p - shift, 0), r_l = (1 - log(n_l / "
        "max n))^exponent; t = 1, too, where p > threshold and p > mean of the batch"
    )
    tasks: ClassVar[frozenset[Task]] = frozenset({"multilabel"})
    source: ClassVar[Source] = Source(
        "Learning in Imperfect Environment: Multi-Label Classification with Long-Tailed Distribution and Partial Labels",
        "W. Zhang, C. Liu, L. Zeng, B. C. Ooi, S. Tang, Y. Zhuang",
        2023,
        "arXiv:2304.10539",
    )
    claim: ClassVar[Claim] = Claim(
        "finds the rare labels where labels of training rows were left out", "missing_labels", "macro_label_f1"
    )

    def init(self, statistics: Statistics) -> State:
        """The rows that carry each label [L]."""
        return {"label_counts": statistics.label_counts}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """One logit per label [B, L] -> loss per row [B]."""
        p = torch.sigmoid(logits)
        corrected = recalled(p.detach(), batch.targets, self.threshold)
        targets = torch.where(progress >= self.start, corrected, batch.targets)
        rarities = rarity(state["label_counts"], self.exponent)
        return multi_focal(p, targets, rarities, self.positive, self.negative, self.shift).sum(-1)
