"""Rows as tensors: a split of the data, a batch of it, and the counts that balancing methods are made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.schema import CLASSES, Task


@dataclass(frozen=True)
class Split:
    """Encoded rows of one part, whole, on one device.

    numeric [n, F] float32, or images [n, channels, height, width] uint8; categorical [n, K] int64 (0 is missing or
    unknown); labels [n] int64; groups [n] int64, the intersection of all sensitive attributes (all 0 without any);
    weights [n] float32; row_ids [n] int64 (the source row; of a synthetic row, its parent); synthetic [n] bool;
    values [n, O] float32, what the model is to say where that is no class: an indicator per label, or the standardized
    number; [n, 0] for classes. champion [n, C] float32, the log-probabilities that the champion gives; [n, 0] where it is
    not asked.

    `labels` are what rows are balanced by, whatever the task: the class; the bin of the number; of several labels the
    rarest one that the row carries, counted from 1, and 0 without any. `classes` counts them all, present or not. The
    label of a row without one is -1: such rows are met in training alone, by methods that ask for them.
    """

    numeric: Tensor
    categorical: Tensor
    labels: Tensor
    groups: Tensor
    weights: Tensor
    row_ids: Tensor
    synthetic: Tensor
    classes: int
    group_count: int
    task: Task = "multiclass"
    values: Tensor = None  # type: ignore[assignment]  # never None after construction
    champion: Tensor = None  # type: ignore[assignment]  # never None after construction

    def __post_init__(self) -> None:
        """Without values the target is a class, and the champion is not asked unless it is said."""
        for name in ("values", "champion"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, self.weights.new_zeros(self.labels.shape[0], 0))

    @property
    def outputs(self) -> int:
        """How many numbers a model gives for a row: one per class, one per label, or one."""
        return self.classes if self.task in CLASSES else int(self.values.shape[1])

    @property
    def truth(self) -> Tensor:
        """What adjusters and metrics compare with: labels [n] of classes, else values [n, O]."""
        return self.labels if self.task in CLASSES else self.values

    def __len__(self) -> int:
        return self.labels.shape[0]

    def to(self, device: torch.device | str) -> Split:
        """The same rows on another device."""
        moved: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)

    def unlabelled(self) -> Split:
        """The same rows without their labels."""
        return replace(self, labels=torch.full_like(self.labels, -1), values=torch.zeros_like(self.values))

    def joined(self, others: Split) -> Split:
        """These rows and then the others."""
        both: dict[str, Any] = {
            k: torch.cat([v, getattr(others, k)]) for k, v in vars(self).items() if isinstance(v, Tensor)
        }
        return replace(self, **both)

    def take(self, rows: Tensor) -> Split:
        """The rows at these positions."""
        taken: dict[str, Any] = {k: v[rows] for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **taken)


class Batch(NamedTuple):
    """One batch of one model: inputs [B, …], categories [B, K], targets [B, O], labels [B], groups [B], weights [B], rows [B].

    Targets are soft classes (O = C), an indicator per label, or the standardized number (O = 1), as `task` says; `task`
    is a constant of the training, so a method may branch on it. Labels are what rows are balanced by, as in `Split`.
    `champion` [B, C] are its log-probabilities, [B, 0] or None where it is not asked. `rows` are positions in the training
    table; `features` [B, H] and `logits` [B, O] are there once the net has made
    them.
    """

    inputs: Tensor
    categories: Tensor
    targets: Tensor
    labels: Tensor
    groups: Tensor
    weights: Tensor
    rows: Tensor
    features: Tensor | None = None
    logits: Tensor | None = None
    task: Task = "multiclass"
    champion: Tensor | None = None

    def memberships(self, classes: int) -> Tensor:
        """How much of a row belongs to each class that rows are balanced by [B, C]: soft where classes were mixed."""
        return self.targets if self.task in CLASSES else one_hot(self.labels, classes)


class Statistics(NamedTuple):
    """Counts over the training rows: per class [C], per group [G], per class and group [C, G]; rows is their number.

    Where rows have weights of their own a row counts as its weight over the mean weight: training weighs its loss so, and what
    makes up for class frequencies must know those that the loss sees. A row of weight 2 is two rows, and the counts sum to
    `rows`. Formulas that ask how well a class is known (margins, effective numbers, group DRO's adjustment) get the same counts.

    Classes are what rows are balanced by, as in `Split`: classes, bins of the number, or rarest labels (the first one:
    no label). `label_counts` [L] are the rows that carry each of several labels, [0] for the other tasks; `centres` [C]
    the mean standardized number of each bin, [0] for the other tasks.
    """

    class_counts: Tensor
    group_counts: Tensor
    class_group_counts: Tensor
    rows: int
    task: Task = "multiclass"
    label_counts: Tensor = torch.zeros(0)
    centres: Tensor = torch.zeros(0)

    @property
    def classes(self) -> int:
        """Number of classes, present or not."""
        return self.class_counts.shape[0]

    @property
    def groups(self) -> int:
        """Number of groups, present or not."""
        return self.group_counts.shape[0]

    @property
    def prior(self) -> Tensor:
        """Share of each class [C]; a class without rows gets half a row, so that its logarithm is finite."""
        counts = self.class_counts.clamp(min=0.5)
        return counts / counts.sum()

    @property
    def label_prior(self) -> Tensor:
        """Share of the rows that carry each label [L], half a row at least away from none and from all."""
        return self.label_counts.clamp(0.5, max(self.rows - 0.5, 0.5)) / self.rows

    def alike(self, other: Statistics) -> bool:
        """Whether both counted the same."""
        mine, theirs = self._asdict(), other._asdict()
        return all(torch.equal(v, theirs[k]) if isinstance(v, Tensor) else v == theirs[k] for k, v in mine.items())

    @staticmethod
    def of(split: Split) -> Statistics:
        """Count the rows of `split` that have a label; every class and group has its place, present or not."""
        labelled = split.labels >= 0
        if not bool(labelled.all()):
            split = split.take(torch.nonzero(labelled).squeeze(1))
        shares = _shares(split.weights)
        cells = _summed(split.labels * split.group_count + split.groups, shares, split.classes * split.group_count)
        table = cells.reshape(split.classes, split.group_count)
        counts = table.sum(1)
        nothing = counts.new_zeros(0)
        values = split.values if shares is None else (split.values.double().cpu() * shares[:, None]).to(split.values)
        carried = values.sum(0) if split.task == "multilabel" else nothing
        centres = nothing
        if split.task == "regression":
            total = counts.new_zeros(split.classes).index_add_(0, split.labels, values[:, 0])
            centres = total / occurring(counts)
        return Statistics(counts, table.sum(0), table, len(split), split.task, carried, centres)


def _shares(weights: Tensor) -> Tensor | None:
    """What each row counts as [n], float64 on the CPU, of mean 1; None where all rows count alike."""
    if not len(weights) or bool((weights == weights[0]).all()):
        return None
    weights = weights.double().cpu()
    return weights * (len(weights) / weights.sum())


def _summed(keys: Tensor, shares: Tensor | None, size: int) -> Tensor:
    """Rows of each key, or what they count as, [size] float32."""
    if shares is None:
        return torch.bincount(keys, minlength=size).float()
    # On the CPU, where the order of the additions is always the same.
    return torch.bincount(keys.cpu(), shares, size).float().to(keys.device)


def occurring(counts: Tensor) -> Tensor:
    """The counts, and 1 where there are none: what may be divided by. A count is less than 1 where rows weigh little."""
    return torch.where(counts > 0, counts, 1)


def targets_of(labels: Tensor, values: Tensor, classes: int, task: Task) -> Tensor:
    """What the model's outputs are compared with [B, O]: one-hot classes, or the values as they are."""
    return one_hot(labels, classes) if task in CLASSES else values


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """[B] -> [B, C] float32; torch's own inspects values and so does not run under vmap."""
    return (labels[..., None] == torch.arange(classes, device=labels.device)).float()
