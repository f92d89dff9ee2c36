"""Small made-up cases, and how a method of each slot is called on one: what the rules of the contract look at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from models.balancing.component import (
    Component,
    GradientTransform,
    Learning,
    Loss,
    Mixer,
    Regularizer,
    Sampler,
    State,
    Task,
    Weigher,
)
from models.balancing.loss.none import PLAIN
from models.data import Batch, Statistics, one_hot
from models.schema import CLASSES

ROWS, GROUPS, FEATURES = 16, 3, 6
CELLS = ((50.0, 30.0, 20.0), (20.0, 10.0, 5.0), (8.0, 4.0, 2.0), (3.0, 2.0, 1.0))
TASKS: tuple[Task, ...] = ("multiclass", "binary", "ordinal", "multilabel", "regression")
"""In the order in which a case is made of the first that a method serves."""
CENTRES = (-0.6, 0.4, 1.5, 3.0)
"""The mean standardized number of each bin."""


@dataclass(frozen=True)
class Case:
    """One batch with all that a method may ask for; every tensor is on one device."""

    statistics: Statistics
    batch: Batch
    partner: Batch
    logits: Tensor
    progress: Tensor

    @property
    def classes(self) -> int:
        """Number of classes that rows are balanced by."""
        return self.statistics.classes

    @property
    def outputs(self) -> int:
        """Numbers that a model gives for a row."""
        return self.logits.shape[-1]

    @property
    def task(self) -> Task:
        """The kind of target."""
        return self.batch.task

    def to(self, device: str) -> Case:
        """The same case on another device."""

        def moved(tree: Any) -> Any:
            return type(tree)(*(v.to(device) if isinstance(v, Tensor) else v for v in tree))

        return Case(
            moved(self.statistics), moved(self.batch), moved(self.partner), self.logits.to(device), self.progress.to(device)
        )  # fmt: skip

    def with_class_order(self, order: Tensor) -> Case:
        """The same rows under other class ids: what was class order[i] is class i."""

        def renamed(batch: Batch) -> Batch:
            said = None if batch.champion is None else batch.champion[:, order]
            return batch._replace(labels=order.argsort()[batch.labels], targets=batch.targets[:, order], champion=said)

        s = self.statistics
        counts = s._replace(class_counts=s.class_counts[order], class_group_counts=s.class_group_counts[order])
        return replace(
            self,
            statistics=counts,
            batch=renamed(self.batch),
            partner=renamed(self.partner),
            logits=self.logits[:, order],
        )


def case(
    method: type[Component],
    rows: int = ROWS,
    scale: float = 1.0,
    absent: int | None = None,
    one_group: bool = False,
    seed: int = 0,
    task: Task | None = None,
) -> Case:
    """A case that suits the method: of the first of TASKS that it serves, or of `task`; images if it needs them.

    `scale` multiplies the logits, `absent` is a class without rows in the batch, `one_group` puts all rows into group 0.
    """
    kind: Task = task if task is not None else next(t for t in TASKS if t in method.tasks)
    classes = 2 if kind == "binary" else len(CELLS)
    generator = torch.Generator().manual_seed(seed)
    shape = (3, 8, 8) if "image" in method.needs else (5,)
    cells = torch.tensor(CELLS[:classes])
    rarer = cells.sum(1)[1:].flip(0).cumsum(0).flip(0) if kind == "multilabel" else torch.zeros(0)
    centres = torch.tensor(CENTRES) if kind == "regression" else torch.zeros(0)
    statistics = Statistics(cells.sum(1), cells.sum(0), cells, int(cells.sum()), kind, rarer, centres)

    def batch() -> Batch:
        labels = torch.randint(classes, (rows,), generator=generator)
        if absent is not None:
            labels = torch.where(labels == absent, (absent + 1) % classes, labels)
        groups = torch.randint(GROUPS, (rows,), generator=generator) * (not one_group)
        inputs = torch.randn(rows, *shape, generator=generator)
        features = torch.randn(rows, FEATURES, generator=generator).relu()
        empty = torch.zeros(rows, 0, dtype=torch.long)
        targets = _targets(kind, labels, classes, generator)
        said = _said(rows, classes, seed) if kind in CLASSES and "champion" in method.needs else None
        return Batch(
            inputs,
            empty,
            targets,
            labels,
            groups,
            torch.ones(rows),
            torch.arange(rows),
            features,
            task=kind,
            champion=said,
        )

    given, partner = batch(), batch()
    logits = scale * torch.randn(rows, given.targets.shape[1], generator=generator)
    return Case(statistics, given, partner, logits, torch.tensor(0.6))


def _said(rows: int, classes: int, seed: int) -> Tensor:
    """The champion's log-probabilities [B, C]."""
    return torch.log_softmax(torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed)), -1)


def _targets(task: Task, labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """Targets [B, O] that go with what rows are balanced by: labels are the rarer the higher their number."""
    if task in CLASSES:
        return one_hot(labels, classes)
    if task == "regression":
        near = 0.2 * torch.randn(len(labels), 1, generator=generator)
        return torch.tensor(CENTRES)[labels][:, None] + near
    rarest = one_hot(labels, classes)[:, 1:]
    others = (torch.rand(len(labels), classes - 1, generator=generator) < 0.4).float()
    commoner = torch.arange(1, classes)[None, :] < labels[:, None]
    return rarest + others * commoner


def prepared(part: Component, given: Case) -> State:
    """The state with which a method begins, its own parameters and its memory of the batch's rows included."""
    generator = torch.Generator().manual_seed(1)
    state: State = {}
    if isinstance(part, Learning):
        state.update(part.parameters(given.statistics, FEATURES, generator))
    if isinstance(part, (Loss, Mixer)):
        state.update(part.init(given.statistics))
    elif isinstance(part, Weigher):
        state.update(part.init(given.statistics))
        state.update({k: v[given.batch.rows] for k, v in part.init_rows(given.statistics).items()})
    elif isinstance(part, Regularizer):
        state.update(part.init(given.statistics, FEATURES))
    elif isinstance(part, GradientTransform):
        state.update(part.init(net_parameters(given)))
    elif isinstance(part, Sampler):
        state.update(part.init(given.batch.labels, given.batch.groups, given.statistics, generator))
    return state


def draws(part: Component, given: Case) -> dict[str, Tensor]:
    """The random numbers that a method draws for the case's batch."""
    if not isinstance(part, (Mixer, Learning)):
        return {}
    drawn = part.draw(torch.Generator().manual_seed(2), 1, given.logits.shape[0])
    return {k: v[0] for k, v in drawn.items()}


def net_parameters(given: Case) -> State:
    """The parameters of a made-up net: a matrix and a bias of its body, and a linear classifier."""
    shapes = {
        "body.0.weight": (FEATURES, 5),
        "body.0.bias": (FEATURES,),
        "classifier.weight": (given.outputs, FEATURES),
    }
    device = given.logits.device
    return {k: (torch.arange(math.prod(s), device=device) ** 2 * 0.37 + 1).sin().reshape(s) for k, s in shapes.items()}


def net_gradients(given: Case, per_class: bool) -> State:
    """Gradients of the made-up net, which follow from the case's logits; with `per_class` one per class."""
    parameters = net_parameters(given)
    guess = torch.softmax(given.logits, -1) if given.task in CLASSES else given.logits
    pull = (guess - given.batch.targets).mean(0)
    if not per_class:
        return {k: v * pull.square().sum() for k, v in parameters.items()}
    weights = pull.reshape(-1, 1)
    return {k: (weights * v.flatten()).reshape(-1, *v.shape) for k, v in parameters.items()}


def outputs(part: Component, state: Mapping[str, Tensor], drawn: dict[str, Tensor], given: Case) -> dict[str, Tensor]:
    """Everything that a method makes of one batch, by name; `next.…` is its next state."""
    held, batch, logits = dict(state), given.batch._replace(logits=given.logits), given.logits
    if isinstance(part, Learning):
        held.update(drawn)
    if isinstance(part, Loss):
        following = part.advance(held, logits.detach(), batch, given.progress)
        found = {"losses": part.losses(held, logits, batch, given.progress)}
    elif isinstance(part, Weigher):
        losses = PLAIN[given.task](logits, batch.targets).detach()
        weights, following = part.weigh(held, losses, batch, given.progress)
        found = {"weights": weights}
    elif isinstance(part, Regularizer):
        assert batch.features is not None
        penalty, following = part.penalty(held, batch.features, logits, batch, given.progress)
        found = {"penalty": penalty}
    elif isinstance(part, Mixer):
        other = given.partner if part.partners() is not None else None
        mixed, following = part.mix(held, batch, other, drawn, given.progress), held
        found = {"inputs": mixed.inputs, "targets": mixed.targets}
    elif isinstance(part, GradientTransform):
        parameters, gradients = net_parameters(given), net_gradients(given, part.per_class)
        update = part.transform(held, gradients, parameters, given.progress)
        following = update.state
        found = {f"gradient.{k}": v for k, v in update.gradients.items()}
        found.update({f"direction.{k}": v for k, v in update.directions.items()})
        found.update({f"rate.{k}": v for k, v in (update.rates or {}).items()})
        if part.constrains:
            found.update({f"constrained.{k}": v for k, v in part.constrain(held, parameters).items()})
        if part.looks_ahead:
            found.update({f"look.{k}": v for k, v in part.look(gradients, parameters).items()})
    else:
        raise TypeError(f"slot '{part.slot}' does not act on batches")
    return {**found, **{f"next.{k}": v for k, v in following.items() if k not in drawn}}
