"""Encoded tables in Ray's object store: put there once, read by every trial without a copy."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.data import Split
from models.schema import Task


@dataclass(frozen=True)
class Table:
    """A split as arrays, which Ray maps into every process, its numbers of classes and groups, and its kind of target."""

    arrays: dict[str, np.ndarray]
    classes: int
    group_count: int
    task: Task

    @staticmethod
    def of(split: Split) -> Table:
        """The arrays of a split on the CPU, without a copy."""
        arrays = {name: value.numpy() for name, value in vars(split).items() if isinstance(value, Tensor)}
        return Table(arrays, split.classes, split.group_count, split.task)

    def split(self) -> Split:
        """The split, whose tensors are the arrays themselves. They must not be written to; nothing in training does."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            tensors: dict[str, Any] = {name: torch.as_tensor(array) for name, array in self.arrays.items()}
        return Split(**tensors, classes=self.classes, group_count=self.group_count, task=self.task)

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(array.nbytes for array in self.arrays.values())
