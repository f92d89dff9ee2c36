"""Self-taught meta loss rescaling: a small net learns, from the rows that it trusts itself, how much each row's loss is to count."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Source, State, Weigher
from models.data import Batch, Statistics

HIDDEN = 16
"""Width of the rescaling function's hidden layer."""

SIGNS = 4
"""What the rescaling function is told of a row."""

PACE = 10.0
"""By how much the function's output moves faster than a layer of the net does. Not from the paper, which has a learning rate for it.

It must know a wrong label before the net has learned it.
"""


def signs(logits: Tensor, targets: Tensor, losses: Tensor) -> Tensor:
    """What the model shows of a row [B, 4]: its loss (squashed), entropy, the probability of its target, and the largest."""
    log_p = torch.log_softmax(logits, -1)
    p = log_p.exp()
    entropy = -(p * log_p).sum(-1)
    return torch.stack([torch.tanh(losses), entropy, (targets * p).sum(-1), p.max(-1).values], -1)


def rescaling(state: State, seen: Tensor) -> Tensor:
    """Signs [B, 4] -> the trust in each row [B] in (0, 1), by the rescaling function's parameters."""
    hidden = torch.tanh(seen @ state["hidden"].T + state["hidden_bias"])
    return torch.sigmoid(PACE * (hidden @ state["output"] + state["output_bias"]))


def meta_gradient(logits: Tensor, targets: Tensor, features: Tensor, validation: Tensor) -> Tensor:
    """How the mean loss of the validation rows changes with the weight of each row [B], after one step of the classifier.

    -<g_i, mean_j g_j> over the other rows j that `validation` [B] marks, g = (p - t) (h, 1)^T the gradient of a row's
    cross-entropy by the weights and biases of the last layer.
    """
    error = torch.softmax(logits, -1) - targets
    marked = validation[:, None] * error
    by_weight, by_bias = marked.mT @ features, marked.sum(0)
    everyone = ((error @ by_weight) * features).sum(-1) + error @ by_bias
    own = validation * error.square().sum(-1) * (features.square().sum(-1) + 1)
    return -(everyone - own) / (validation.sum() - validation).clamp(min=1)


@dataclass(frozen=True)
class SelfTaught(Weigher):
    """Rows weigh what a function of the model's own signs says, which is taught by a meta update without clean rows.

    The meta update asks how the loss of validation rows would change if a row counted more; the validation rows are
    drawn from the batch by the function itself, so that it trusts them. The step that is looked through is that of the
    last layer, where the gradient of every row is known from its features and errors: no second pass is needed. The
    function's parameters train with the net, by the meta gradient alone.
    """

    name: ClassVar[str] = "self_taught"
    formula: ClassVar[str] = (
        "w_i = v_i / mean v, v = v(loss_i, entropy_i, p_i) learned by d/dv_i of the loss, after a step, of rows drawn with probability v"
    )
    source: ClassVar[Source] = Source(
        "Learning from Noisy Labels via Self-Taught On-the-Fly Meta Loss Rescaling",
        "M. Heck, C. Geishauser, N. Lubis, C. van Niekerk, S. Feng, H.-C. Lin, B. M. Ruppik, R. Vukovic, M. Gašić",
        2024,
        "arXiv:2412.12955",
    )
    claim: ClassVar[Claim] = Claim("suppresses wrongly labelled rows", "noisy_labels", "accuracy")

    def parameters(self, statistics: Statistics, features: int, generator: torch.Generator) -> State:
        """A hidden layer drawn as torch draws linear layers, and an output of zeros: all rows weigh alike at first."""
        drawn = (torch.rand(HIDDEN, SIGNS, generator=generator) * 2 - 1) / SIGNS**0.5
        return {
            "hidden": drawn, "hidden_bias": torch.zeros(HIDDEN),
            "output": torch.zeros(HIDDEN), "output_bias": torch.zeros(1),
        }  # fmt: skip

    def draw(self, generator: torch.Generator, steps: int, batch: int) -> dict[str, Tensor]:
        """A uniform number per row [steps, batch], which decides whether it is a validation row."""
        return {"uniforms": torch.rand(steps, batch, generator=generator)}

    def weigh(self, state: State, losses: Tensor, batch: Batch, progress: Tensor) -> tuple[Tensor, State]:
        """Losses [B], the features and logits in the batch -> weights [B] of mean 1, with the meta gradient for the function."""
        assert batch.features is not None
        assert batch.logits is not None
        logits, features = batch.logits.detach(), batch.features.detach()
        trust = rescaling(state, signs(logits, batch.targets, losses))
        fixed = trust.detach()
        validation = (state["uniforms"] < fixed).to(fixed.dtype)
        weights = fixed / fixed.mean()
        meta = meta_gradient(logits, batch.targets, features, validation)
        # Weights have mean 1, so more trust in a row is less weight of all others. Were that left out, trust would rise in
        # every row, since a step on almost any row helps.
        by_trust = (meta - (weights * meta).mean()) / fixed.mean()
        # The loop multiplies a weight by its row's loss, which may be below 0: so divided, what the function learns by is the
        # meta gradient.
        divisor = torch.where(losses.abs() < 1e-6, 1e-6, losses)
        return weights + (trust - fixed) * by_trust / divisor, state
