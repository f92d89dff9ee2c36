"""SelMix: mix the features of those pairs of classes from which a figure of the confusion matrix gains most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from models.balancing.component import Claim, Mixer, Source, State, View, hyper
from models.data import Batch, Statistics, one_hot

if TYPE_CHECKING:
    from models.recipe import Recipe

SMALLEST = 1e-7


def confusion(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Logits [n, C], labels and weights [n] -> the share of rows of class i decided as j [C, C]."""
    classes = logits.shape[-1]
    shares = (one_hot(labels, classes) * weights[:, None]).T @ one_hot(logits.argmax(-1), classes)
    return (shares / shares.sum().clamp(min=SMALLEST)).clamp(min=SMALLEST)


def figure_by_logits(shares: Tensor, slope: Tensor) -> Tensor:
    """How a figure moves with the mean logit of class l on rows of class k [C, C]: C_kl (D_kl - sum_j D_kj C_kj / pi_k).

    `shares` C is the confusion matrix, `slope` D the figure's derivative by it; the rows of a class are taken to be
    decided by a softmax.
    """
    prior = shares.sum(1, keepdim=True)
    return shares * (slope - (slope * shares).sum(1, keepdim=True) / prior)


def logits_by_mixture(features: Tensor, logits: Tensor, share: float | Tensor) -> Tensor:
    """How the logit of class l on rows of class q moves when rows of i, mixed with rows of j, take a step [C, C, C, C] (i, j, q, l).

    (e_i - p(z_ij))_l <z_ij, z_q> for z_ij = share z_i + (1 - share) z_j, the gradient step of the last layer; `features`
    z [C, H] and `logits` [C, C] are means by class, and of a linear layer the logits of z_ij are mixed as z_ij is.
    """
    mixed = share * logits[:, None] + (1 - share) * logits[None, :]
    target = torch.eye(logits.shape[-1], device=logits.device)[:, None]
    pull = target - torch.softmax(mixed, -1)
    gram = features @ features.T
    overlap = share * gram[:, None] + (1 - share) * gram[None, :]
    return overlap[..., None] * pull[:, :, None, :]


def pair_distribution(gains: Tensor, sharpness: float | Tensor) -> Tensor:
    """Gains [C, C] -> the probability of each pair: a softmax of the gains over the largest size, without those that lose."""
    scaled = gains / gains.abs().max().clamp(min=1e-12)
    raw = torch.softmax((sharpness * scaled).flatten(), -1).reshape(gains.shape) * (gains > 0) + 1e-8
    return raw / raw.sum()


def drawn_pairs(pairs: Tensor, labels: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of a batch with labels [B] in pairs, drawn with uniforms [B] each: classes as `pairs` [C, C] says, their rows alike.

    Of the classes that the batch has; the second row is drawn given the class of the first.
    """
    each = 1 / one_hot(labels, len(pairs)).sum(0)[labels]
    left = _drawn(pairs.sum(1)[labels] * each, first)
    # What a second row is drawn by depends on the class of the first alone: every class draws for all rows.
    by_class = _drawn(pairs[:, labels] * each, second.expand(len(pairs), -1))
    return left, by_class.gather(0, labels[left][None]).squeeze(0)


def _drawn(weights: Tensor, uniforms: Tensor) -> Tensor:
    """Positions in the last dimension of weights, drawn in proportion to them."""
    edges = weights.cumsum(-1)
    return torch.searchsorted(edges, uniforms * edges[..., -1:]).clamp(max=weights.shape[-1] - 1)


@dataclass(frozen=True)
class SelMix(Mixer):
    """The mean recall, which is no mean over rows: before every epoch the gain of each pair is found on validation rows.

    Pairs are drawn by their gains, of which the largest is made 1, rows of their classes from the batch (bring
    `class_balanced_sampling`, so that it has some of every class), their features mixed just before the classifier, with
    the label of the first. It fine-tunes: until `start` the batch stays as it is; the schedule `selmix_fine_tuning` lets the net see rows as they
    are until then.
    """

    sharpness: float | Tensor = hyper(10.0, 2.0, 50.0, log=True, minimum=0.0, maximum=1e4)
    smallest_share: float | Tensor = hyper(0.6, 0.5, 0.9, minimum=0.0, maximum=1.0)
    start: float | Tensor = hyper(0.6, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "selmix"
    formula: ClassVar[str] = (
        "z = s f_i + (1-s) f_j, t = t_i, (i, j) ~ softmax(sharpness G), G_ij = first-order gain of mean recall, s ~ U(smallest, 1), from start on"
    )
    surveys: ClassVar[bool] = True
    cost: ClassVar[str] = (
        "It takes a pass over the validation rows before each epoch from `start` on, for the pairs' gains."
    )
    at: ClassVar[Literal["inputs", "features"]] = "features"
    implies: ClassVar[Mapping[str, str]] = {"sample": "class_balanced_sampling"}
    source: ClassVar[Source] = Source(
        "Selective Mixup Fine-Tuning for Optimizing Non-Decomposable Objectives",
        "S. Ramasubramanian, H. Rangwani, S. Takemori, K. Samanta, Y. Umeda, V. B. Radhakrishnan",
        2024,
        "openreview.net/forum?id=rxVBKhyfSo",
    )
    claim: ClassVar[Claim] = Claim("raises the mean recall", "long_tail", "balanced_accuracy")

    def objection(self, recipe: Recipe) -> str | None:
        """Weights belong to the rows that were drawn."""
        if recipe.weigh is not None:
            return f"it puts other rows of the batch in a row's place, which '{recipe.weigh.name}' would weigh"
        return None

    def init(self, statistics: Statistics) -> State:
        """The distribution over pairs of classes [C, C], even at first, and a price for each class [C]."""
        count = statistics.classes
        return {"pairs": torch.full((count, count), 1 / count**2), "prices": torch.full((count,), 1 / count)}

    def slope(self, recall: Tensor, prior: Tensor, prices: Tensor) -> Tensor:
        """The figure's derivative by the confusion matrix [C, C], for recalls, priors and prices [C]."""
        return torch.diag(1 / (len(prior) * prior))

    def priced(self, prices: Tensor, recall: Tensor) -> Tensor:
        """The prices after the recalls were seen."""
        return prices

    def survey(self, state: State, view: View) -> State:
        """The pairs' gains on validation rows."""
        if view.progress < float(self.start):
            return state
        seen = view.valid()
        shares = confusion(seen.logits, seen.labels, seen.weights)
        prior = shares.sum(1)
        recall = shares.diagonal() / prior
        prices = self.priced(state["prices"], recall)
        member = one_hot(seen.labels, len(prior)) * seen.weights[:, None]
        member = member / member.sum(0).clamp(min=SMALLEST)
        moved = logits_by_mixture(member.T @ seen.features, member.T @ seen.logits, (self.smallest_share + 1) / 2)
        gains = torch.einsum("ql,ijql->ij", figure_by_logits(shares, self.slope(recall, prior, prices)), moved)
        return {"pairs": pair_distribution(gains, self.sharpness), "prices": prices}

    def draw(self, generator: torch.Generator, steps: int, batch: int) -> dict[str, Tensor]:
        """Uniform numbers for the first and the second rows, and for the shares [steps, batch]."""
        return {k: torch.rand(steps, batch, generator=generator) for k in ("first", "second", "share")}

    def mix(
        self, state: State, batch: Batch, partner: Batch | None, draws: Mapping[str, Tensor], progress: Tensor
    ) -> Batch:
        """One batch, its features as inputs -> the mixed features of drawn pairs, with the first row's target [B, C]."""
        first, second = drawn_pairs(state["pairs"], batch.labels, draws["first"], draws["second"])
        share = self.smallest_share + (1 - self.smallest_share) * draws["share"]
        itself = torch.arange(first.shape[-1], device=first.device)
        first = torch.where(progress >= self.start, first, itself)
        share = torch.where(progress >= self.start, share, torch.ones_like(share))
        wide = share.reshape(-1, *[1] * (batch.inputs.dim() - 1))
        return batch._replace(
            inputs=wide * batch.inputs[first] + (1 - wide) * batch.inputs[second],
            targets=batch.targets[first],
            labels=batch.labels[first],
            groups=batch.groups[first],
            weights=batch.weights[first],
            rows=batch.rows[first],
        )


@dataclass(frozen=True)
class SelMixWorstRecall(SelMix):
    """The worst recall: classes get prices that grow where their recall is low, and the figure is the priced mean."""

    price_step: float | Tensor = hyper(5.0, 1.0, 20.0, log=True, minimum=0.0, maximum=1000.0)

    name: ClassVar[str] = "selmix_worst_recall"
    formula: ClassVar[str] = "as selmix, for sum_c l_c recall_c, l_c <- l_c e^(-price_step recall_c) / sum"
    claim: ClassVar[Claim] = Claim("raises the worst recall", "long_tail", "worst_class_recall")

    def slope(self, recall: Tensor, prior: Tensor, prices: Tensor) -> Tensor:
        """The derivative of the priced sum of recalls."""
        return torch.diag(prices / prior)

    def priced(self, prices: Tensor, recall: Tensor) -> Tensor:
        """Exponentiated gradient on the classes' prices."""
        return torch.softmax(prices.clamp(min=1e-30).log() - self.price_step * recall, -1)
