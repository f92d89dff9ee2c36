"""LISA: mix rows of one class across groups, or rows of one group across classes, to learn what does not depend on the group."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Mixer, Need, Source, State, hyper
from models.data import Batch, Statistics


def chosen_partners(cells: Tensor, fits: Tensor, order: Tensor, offsets: Tensor) -> Tensor:
    """For each row [B] an eligible one of the batch, drawn evenly: the first from its offset on, in a random order.

    cells [B] say of which kind a row is, fits [K, K] bool which kinds go together; order is a permutation [B], offsets [B].
    A row with no eligible partner gets itself.
    """
    size = order.shape[-1]
    inverse, places = order.argsort(-1), torch.arange(size, device=order.device)
    found = torch.where(fits[:, cells[inverse]], places, 2 * size)
    # By kind, the next eligible place from each place on, once around: a few rows of numbers in the stead of [B, B].
    following = torch.cat([found, found + size], -1).flip(-1).cummin(-1).values.flip(-1)
    first = following[cells, (size - offsets) % size]
    return torch.where(first < 2 * size, inverse[first % size], places)


@dataclass(frozen=True)
class LISA(Mixer):
    """Selective mixup: intra-label with probability `intra_label`, else intra-domain, chosen once per batch.

    The share is drawn from Beta(2, 2) for each row, as released with the paper: it is the median of three uniforms.
    Partners come from the same batch.
    """

    intra_label: float | Tensor = hyper(0.5, 0.0, 1.0, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "lisa"
    formula: ClassVar[str] = (
        "x = s x_i + (1-s) x_j, t alike, j of the same class and another group, or the same group and another class"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    source: ClassVar[Source] = Source(
        "Improving Out-of-Distribution Robustness via Selective Augmentation",
        "H. Yao, Y. Wang, S. Li, L. Zhang, W. Liang, J. Zou, C. Finn",
        2022,
        "arXiv:2201.00299",
    )
    claim: ClassVar[Claim] = Claim(
        "raises worst-group accuracy by mixing rows of a class across groups", "spurious", "worst_group_accuracy"
    )

    def init(self, statistics: Statistics) -> State:
        """The class and the group of every kind of row [C G]."""
        classes, groups = statistics.class_counts.shape[-1], statistics.group_counts.shape[-1]
        kinds = torch.arange(classes * groups, device=statistics.group_counts.device)
        return {"of_class": kinds // groups, "of_group": kinds % groups}

    def draw(self, generator: torch.Generator, steps: int, batch: int) -> dict[str, Tensor]:
        """Which kind of pair [steps], three uniforms per row [steps, batch, 3], an order and offsets [steps, batch]."""
        return {
            "kind": torch.rand(steps, generator=generator),
            "uniforms": torch.rand(steps, batch, 3, generator=generator),
            "order": torch.rand(steps, batch, generator=generator).argsort(-1),
            "offsets": torch.randint(batch, (steps, batch), generator=generator),
        }

    def mix(
        self, state: State, batch: Batch, partner: Batch | None, draws: Mapping[str, Tensor], progress: Tensor
    ) -> Batch:
        """One batch -> its rows mixed with eligible partners, targets [B, C] alike."""
        of_class, of_group = state["of_class"], state["of_group"]
        same_class, same_group = of_class[:, None] == of_class, of_group[:, None] == of_group
        within_label = draws["kind"] < self.intra_label
        fits = torch.where(within_label, same_class & ~same_group, same_group & ~same_class)
        cells = batch.labels * (of_group.max() + 1) + batch.groups
        partners = chosen_partners(cells, fits, draws["order"], draws["offsets"])
        share = draws["uniforms"].median(-1).values
        wide = share.reshape(-1, *[1] * (batch.inputs.dim() - 1))
        return batch._replace(
            inputs=wide * batch.inputs + (1 - wide) * batch.inputs[partners],
            targets=share[:, None] * batch.targets + (1 - share)[:, None] * batch.targets[partners],
        )
