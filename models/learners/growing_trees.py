"""One member of the trees whose recipe says how the ensemble grows: from the rows to a model, and its validation loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from models.balancing.growing import Ground, Grower, Grown, Judges, Votes
from models.data import Split
from models.learners.forest_model import constant, design, export_votes, indicators
from models.learners.learner import Input, Member, Model, Outcome, Plan
from models.learners.mixture_model import MixtureModel
from models.learners.trees_model import export

ORACLE_ROUNDS = 50
"""Rounds of a boosted ensemble that a method grows many of."""


class Plot(NamedTuple):
    """The rows of one training: `coded` and `valid_coded` [n, K + F] as boosting sees them, by `codes` and `bounds`; weights [n] of each part."""

    train: Split
    valid: Split
    inputs: Input
    codes: list[NDArray[np.float64]]
    bounds: list[NDArray[np.float32]]
    coded: NDArray[np.float64]
    valid_coded: NDArray[np.float64]
    weights: NDArray[np.float64]
    valid_weights: NDArray[np.float64]


def grown(grower: Grower, member: Member, plan: Plan, plot: Plot, boosting: Mapping[str, Any]) -> Outcome:
    """Grow the ensemble for the whole budget; `boosting` are the arguments of scikit-learn's that follow from the member.

    Classes without training rows take no part in growing.
    """
    train = plot.train
    labels = train.labels.cpu().numpy()
    present = [int(label) for label in np.unique(labels)]
    indicated = indicators(train.categorical, plot.inputs.cardinalities)
    rounds = min(plan.budget, ORACLE_ROUNDS)
    ground = Ground(
        columns=design(train, indicated).cpu().numpy(), coded=plot.coded, labels=np.searchsorted(present, labels),
        groups=train.groups.cpu().numpy(), weights=plot.weights, trees=plan.budget, seed=member.seed,
        boosting=lambda: HistGradientBoostingClassifier(
            **boosting, max_iter=rounds, early_stopping=False, random_state=member.seed
        ),
        valid=Judges(
            plot.valid_coded, np.searchsorted(present, plot.valid.labels.cpu().numpy()), plot.valid.groups.cpu().numpy()
        ),
    )  # fmt: skip
    try:
        parts = [part for part in grower.grow(ground) if part.share > 0]
    except ValueError as error:
        # What scikit-learn and imbalanced-learn raise where a sum cannot be begun, as of a first tree worse than chance.
        return Outcome(None, f"{grower.name}: {error}")

    def exported(part: Grown) -> Model:
        if isinstance(part.part, Votes):
            return export_votes(part.part, indicated, present, train.classes, len(train))
        if isinstance(part.part, HistGradientBoostingClassifier):
            return export(part.part, part.part.n_iter_, plot.codes, plot.bounds, train.classes, len(train))
        return constant(int(part.part), present, train.classes, len(train))

    model = exported(parts[0]) if len(parts) == 1 else _mixture([exported(p) for p in parts], [p.share for p in parts])
    loss = _validation_loss(model, plot.valid, plot.valid_weights)
    if not np.isfinite(loss):
        return Outcome(None, f"{grower.name}: the validation loss is not finite")
    return Outcome(model, None, plan.budget, [loss])


def _mixture(models: Sequence[Model], shares: Sequence[float]) -> MixtureModel:
    total = sum(shares)
    return MixtureModel(models, [share / total for share in shares])


def _validation_loss(model: Model, valid: Split, weights: NDArray[np.float64]) -> float:
    scored = torch.log_softmax(model.logits(valid).double(), -1).gather(1, valid.labels[:, None]).squeeze(1)
    return float(-(scored.cpu() * torch.from_numpy(weights)).sum() / weights.sum())
