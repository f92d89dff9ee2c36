"""Fair identity scaling: a row's weight grows with its own loss and with a number that is learned for its group."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Need, Source, State, Task, Weigher, hyper
from models.balancing.weigh.kl_dro import tilted
from models.data import Batch, Statistics


def identity_weights(
    losses: Tensor,
    groups: Tensor,
    rows: Tensor,
    beta: Tensor,
    share: float | Tensor,
    temperature: float | Tensor,
) -> Tensor:
    """B softmax(((1 - share) loss + share beta_group) / temperature) [B], of rows that count by `rows` [B]."""
    mixed = (1 - share) * losses + share * beta[groups]
    return tilted(mixed / temperature, rows)


@dataclass(frozen=True)
class FairIdentityScaling(Weigher):
    """The batch's weights from individual and group difficulty; the groups' numbers are trained with the net.

    For the net the losses inside the weights count as constants: it learns from the weighted losses alone. As these are
    what the groups' numbers descend on too, d/d beta_g = c / T mean_i w_i (loss_i - mean_j w_j loss_j) over the group's
    rows: a group of large loss loses weight by its number what its rows win by their own loss.

    The numbers are learned as in public code that builds on the paper's first version. The code released since weighs by
    (1 - c) softmax(loss / T) + c softmax(D_g / T), D_g the transport distance of the group's losses from everyone's.
    """

    share: float | Tensor = hyper(0.5, 0.1, 0.9, minimum=0.0, maximum=1.0)
    temperature: float | Tensor = hyper(1.0, 0.3, 3.0, log=True, minimum=1e-3, maximum=1e6)

    name: ClassVar[str] = "fair_identity_scaling"
    formula: ClassVar[str] = "w = B softmax(((1-c) loss + c beta_g) / T), beta learned"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    source: ClassVar[Source] = Source(
        "Eye Fairness: A Large-Scale 3D Imaging Dataset for Equitable Eye Diseases Screening and Fair Identity Scaling",
        "Y. Luo, Y. Tian, M. Shi, T. Elze, M. Wang",
        2023,
        "arXiv:2310.02492",
    )
    claim: ClassVar[Claim] = Claim(
        "lowers the loss of groups and rows where it is large", "spurious", "worst_group_log_loss", {"share": 0.1}
    )

    def parameters(self, statistics: Statistics, features: int, generator: torch.Generator) -> State:
        """A number for each group, all alike at first."""
        return {"beta": torch.zeros(statistics.groups)}

    def weigh(self, state: State, losses: Tensor, batch: Batch, progress: Tensor) -> tuple[Tensor, State]:
        """Losses [B] -> weights [B] of mean 1, with a gradient for beta."""
        weights = identity_weights(losses, batch.groups, batch.weights, state["beta"], self.share, self.temperature)
        return weights, state
