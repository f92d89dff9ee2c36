"""U2 regression: labels that were lowered are not believed; only those above the prediction, and that a row is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import Claim, Loss, Source, State, Task, hyper
from models.data import Batch


def upper_and_unlabelled(
    numbers: Tensor, targets: Tensor, weights: Tensor, share: float | Tensor, noise: float | Tensor
) -> Tensor:
    """mean of (z - t) over all rows + share x mean of ((t - z)^2 / (2 noise) + (t - z)) over the rows with t >= z.

    Of labels without a fault, of which the share `share` lies above z, this is the mean of (t - z)^2 / (2 noise) above and
    |t - z| below; numbers, targets and weights are [B], the result is []. The gradient reads a label only where it is above
    the prediction, so that labels which were lowered from above z to below it leave it as it is but for the rows they cost.
    """
    above = weights * (targets >= numbers)
    excess = (targets - numbers) * (targets >= numbers)
    part = (above * (excess.square() / (2 * noise) + excess)).sum() / above.sum().clamp(min=1e-6)
    return (weights * (numbers - targets)).sum() / weights.sum().clamp(min=1e-6) + share * part


@dataclass(frozen=True)
class UpperSide(Loss):
    """For a number that is recorded too low where a sensor missed something: squared error above, absolute error below.

    The error below has the same slope for every label, so it is estimated from all rows less those above. `share` is the
    share of faultless labels above the line, `noise` their mean distance from it in deviations of the target, times
    share / (1 - share): with these, the line is where the loss has no slope. They cannot be chosen on rows with the same
    fault and are not searched.
    """

    share: float | Tensor = hyper(0.5, minimum=0.01, maximum=0.99)
    noise: float | Tensor = hyper(0.3, minimum=1e-3, maximum=100.0)

    name: ClassVar[str] = "upper_side"
    formula: ClassVar[str] = "L = E[z - t] + share E[(t - z)^2 / (2 noise) + (t - z) | t >= z]"
    tasks: ClassVar[frozenset[Task]] = frozenset({"regression"})
    set_level: ClassVar[bool] = True
    source: ClassVar[Source] = Source(
        "Regression with Sensor Data Containing Incomplete Observations",
        "T. Katsuki, T. Osogami",
        2023,
        "arXiv:2304.13415",
    )
    claim: ClassVar[Claim] = Claim(
        "learns the full value from labels of which many were lowered", "lowered_values", "mae"
    )

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Numbers [B, 1] -> one number []."""
        return upper_and_unlabelled(
            logits.squeeze(-1), batch.targets.squeeze(-1), batch.weights, self.share, self.noise
        )
