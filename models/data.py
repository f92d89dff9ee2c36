"""Rows as tensors: a split of the data, a batch of it, and the counts that balancing methods are made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Encoded rows of one part, whole, on one device.

    numeric [n, F] float32, or images [n, channels, height, width] uint8; categorical [n, K] int64 (0 is missing or
    unknown); labels [n] int64; groups [n] int64, the intersection of all sensitive attributes (all 0 without any);
    weights [n] float32; row_ids [n] int64 (the source row; of a synthetic row, its parent); synthetic [n] bool.
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

    def __len__(self) -> int:
        return self.labels.shape[0]

    def to(self, device: torch.device | str) -> Split:
        """The same rows on another device."""
        moved: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)

    def take(self, rows: Tensor) -> Split:
        """The rows at these positions."""
        taken: dict[str, Any] = {k: v[rows] for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **taken)


class Batch(NamedTuple):
    """One batch of one model: inputs [B, …], categories [B, K], soft targets [B, C], labels [B], groups [B], weights [B], rows [B].

    `rows` are positions in the training table; `features` [B, H] and `logits` [B, C] are there once the net has made
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


class Statistics(NamedTuple):
    """Counts over the training rows: per class [C], per group [G], per class and group [C, G]; rows is their number."""

    class_counts: Tensor
    group_counts: Tensor
    class_group_counts: Tensor
    rows: int

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

    @staticmethod
    def of(split: Split) -> Statistics:
        """Count the rows of `split`; every class and group has its place, present or not."""
        cells = torch.bincount(
            split.labels * split.group_count + split.groups, minlength=split.classes * split.group_count
        )
        table = cells.reshape(split.classes, split.group_count).float()
        return Statistics(table.sum(1), table.sum(0), table, len(split))


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """[B] -> [B, C] float32; torch's own inspects values and so does not run under vmap."""
    return (labels[..., None] == torch.arange(classes, device=labels.device)).float()
