"""What rows must be before anything is trained on them: an error that names part, column and row, instead of a loss that is NaN."""

from __future__ import annotations

import torch
from torch import Tensor

from models.data import Split
from models.errors import InputError
from models.learners.learner import Input

UNKNOWN = -1
"""The label of a row without one."""


def require_sound(split: Split, part: str, inputs: Input, unlabelled: bool = False, missing: bool = False) -> None:
    """Raise InputError unless a part has rows, finite columns and weights, and labels, groups and categories in range.

    With `unlabelled`, rows may be without a label, which is then -1; with `missing`, a column may hold NaN for no value.
    """
    if not len(split):
        raise InputError(f"the {part} rows: there are none. Nothing can be learned from or judged by an empty table.")
    labels = torch.where(split.labels == UNKNOWN, 0, split.labels) if unlabelled else split.labels
    _in_range(labels, split.classes, part, "label", "classes")
    _in_range(split.groups, split.group_count, part, "group", "groups")
    for column, cardinality in enumerate(inputs.cardinalities):
        _in_range(split.categorical[:, column], cardinality, part, f"id in categorical column {column}", "values")
    if split.numeric.is_floating_point():
        numeric = torch.where(split.numeric.isnan(), 0.0, split.numeric) if missing else split.numeric
        _finite(numeric, part, "numeric column")
    _finite(split.values, part, "target value")
    _finite(split.weights[:, None], part, "weight")
    if bool((split.weights < 0).any()):
        row = int((split.weights < 0).nonzero()[0])
        raise InputError(
            f"the {part} rows: row {row} has the weight {float(split.weights[row]):g}. No weight may be negative."
        )


def _in_range(values: Tensor, count: int, part: str, what: str, of: str) -> None:
    wrong = (values < 0) | (values >= count)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise InputError(
            f"the {part} rows: row {row} has the {what} {int(values[row])}, but there are {count} {of}, 0 to {count - 1}. "
            "Encode the rows with the schema that they belong to."
        )


def _finite(values: Tensor, part: str, what: str) -> None:
    """Values [n, …], of which those of each row and column must be finite."""
    if values.numel() and not bool(torch.isfinite(values).all()):
        place = (~torch.isfinite(values.flatten(1))).nonzero()[0]
        row, column = int(place[0]), int(place[1])
        value = float(values.flatten(1)[row, column])
        raise InputError(
            f"the {part} rows: row {row} has {value} in {what} {column}. Fill in or leave out what is missing before training."
        )
