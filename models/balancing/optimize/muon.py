"""Muon: step the weight matrices along the orthogonalized momentum, everything else as AdamW does."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, GradientTransform, Need, Source, State, Task, Update, hyper

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5


def orthogonalized(matrix: Tensor) -> Tensor:
    """U V^T of a matrix [a, b] = U S V^T, roughly: five quintic Newton-Schulz steps bring every singular value near 1."""
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm() + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def hidden_matrix(name: str, value: Tensor) -> bool:
    """Whether Muon steps this parameter: a matrix (or filters) of the net's body, not of its embedding or classifier.

    Scales of several members lie in one tensor, which is no layer's weight.
    """
    return name.startswith("body.") and name.endswith(".weight") and value.dim() >= 2


@dataclass(frozen=True)
class Muon(GradientTransform):
    """Nesterov momentum, orthogonalized; filters count as matrices [out, rest].

    A direction's root mean square is `scale`, 0.2 by default, so that its size is AdamW's and both share one learning
    rate and weight decay (J. Liu et al., Muon is Scalable for LLM Training, arXiv:2502.16982).
    """

    scale: float | Tensor = hyper(0.2, 0.1, 2.0, log=True, minimum=0.0, maximum=100.0)
    momentum: float | Tensor = hyper(0.95, 0.85, 0.98, minimum=0.0, maximum=0.999)

    name: ClassVar[str] = "muon"
    formula: ClassVar[str] = (
        "m = mu m + (1-mu) g; W <- W - rate scale sqrt(max(a, b)) NS5((1-mu) g + mu m), NS5(U S V^T) ~ U V^T"
    )
    cost: ClassVar[str] = (
        "A step takes five Newton-Schulz iterations for each matrix of the body, three products of matrices in each."
    )
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"net"})
    source: ClassVar[Source] = Source(
        "Muon: An optimizer for hidden layers in neural networks",
        "K. Jordan et al.",
        2024,
        "kellerjordan.github.io/posts/muon",
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source(
            "Muon Outperforms Adam in Tail-End Associative Memory Learning", "S. Wang et al.", 2025, "arXiv:2509.26030"
        ),
    )
    claim: ClassVar[Claim] = Claim("serves rare classes better than Adam", "long_tail", "balanced_accuracy")

    def init(self, parameters: State) -> State:
        """A momentum for each matrix."""
        return {name: value * 0 for name, value in parameters.items() if hidden_matrix(name, value)}

    def transform(self, state: State, gradients: State, parameters: State, progress: Tensor) -> Update:
        """Directions for the matrices; the other gradients go on as they are."""
        moments, directions = {}, {}
        for name, before in state.items():
            gradient = gradients[name]
            moment = before + (1 - self.momentum) * (gradient - before)
            ahead = gradient + self.momentum * (moment - gradient)
            matrix = ahead.reshape(ahead.shape[0], -1)
            size = self.scale * max(matrix.shape) ** 0.5
            moments[name], directions[name] = moment, (size * orthogonalized(matrix)).reshape(ahead.shape)
        return Update({k: g for k, g in gradients.items() if k not in directions}, directions, moments)
