"""LDAM: label-distribution-aware margins, larger for rarer classes, on a normalized classifier."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import Claim, Loss, Source, State, hyper
from models.balancing.loss.none import cross_entropy
from models.data import Batch, Statistics

SOURCE = Source(
    "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss",
    "K. Cao, C. Wei, A. Gaidon, N. Arechiga, T. Ma",
    2019,
    "arXiv:1906.07413",
)


def margins(class_counts: Tensor, largest: float | Tensor) -> Tensor:
    """Margins [C] proportional to n_c^(-1/4), scaled so that the rarest class that occurs has margin `largest`."""
    raw = class_counts.clamp(min=1) ** -0.25
    occurring = raw * (class_counts > 0).to(raw.dtype)
    return raw * largest / occurring.max()


def ldam(cosines: Tensor, targets: Tensor, margin: Tensor, scale: float | Tensor) -> Tensor:
    """Cross-entropy of scale * (z - t * margin) per row [B]: the target's logit must win by its margin [C]."""
    return cross_entropy(scale * (cosines - targets * margin), targets)


@dataclass(frozen=True)
class LDAM(Loss):
    """Cross-entropy with a margin for the target class, on cosine logits.

    The cosine head multiplies its cosines by its own scale, so the margin is multiplied by the same scale here.
    """

    largest_margin: float | Tensor = hyper(0.5, 0.1, 1.0, minimum=0.0, maximum=2.0)

    name: ClassVar[str] = "ldam"
    formula: ClassVar[str] = "L = -log softmax(s (z - m_y e_y))_y, m_c = C / n_c^(1/4), max m = largest_margin"
    source: ClassVar[Source] = SOURCE
    implies: ClassVar[Mapping[str, str]] = {"head": "cosine"}
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes with larger margins for them", "long_tail", "balanced_accuracy"
    )

    def init(self, statistics: Statistics) -> State:
        """The class counts [C]."""
        return {"class_counts": statistics.class_counts}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Scaled cosines [B, C] -> loss per row [B]."""
        from models.balancing.head.cosine import SCALE

        margin = margins(state["class_counts"], self.largest_margin)
        return ldam(logits / SCALE, batch.targets, margin, SCALE)
