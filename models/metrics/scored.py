"""Rows that a model has scored, and the groups they belong to: what every metric is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.errors import InputError
from models.schema import Task

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Scored:
    """Labels [n], decisions [n] (class ids) and class probabilities [n, C] of the same rows. Build it with `of`.

    `ordered` says that the classes go from low to high.
    """

    labels: Ints
    decisions: Ints
    probabilities: Floats
    ordered: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """Number of classes C, present in these rows or not."""
        return int(self.probabilities.shape[1])

    @property
    def class_counts(self) -> Ints:
        """Rows per class [C]; a class without rows has its place."""
        return np.bincount(self.labels, minlength=self.classes).astype(np.int64)

    @property
    def task(self) -> Task:
        """The kind of target."""
        return "ordinal" if self.ordered else "binary" if self.classes == 2 else "multiclass"

    def fewest(self, metric: str) -> int:
        """Rows of the smallest part that a metric rests on."""
        return int(self.class_counts.min())

    def same_as(self, other: Scored) -> bool:
        """Whether both say the same of every row."""
        same = np.array_equal(self.decisions, other.decisions)
        return same and np.array_equal(self.probabilities, other.probabilities)

    def take(self, rows: Ints | Bools) -> Scored:
        """These rows, by position or by mask."""
        return replace(
            self, labels=self.labels[rows], decisions=self.decisions[rows], probabilities=self.probabilities[rows]
        )

    @staticmethod
    def of(labels: ArrayLike, decisions: ArrayLike, probabilities: ArrayLike, ordered: bool = False) -> Scored:
        """Check the arrays once; an InputError says which one is wrong and where."""
        given = Scored(
            np.asarray(labels, dtype=np.int64),
            np.asarray(decisions, dtype=np.int64),
            np.asarray(probabilities, dtype=np.float64),
            ordered,
        )
        _check(given)
        return given


@dataclass(frozen=True)
class Grouping:
    """The groups of one attribute (or intersection): names of all declared groups, and the group id of each row [n]."""

    name: str
    groups: tuple[str, ...]
    ids: Ints

    def __post_init__(self) -> None:
        if len(self.ids) and (self.ids.min() < 0 or self.ids.max() >= len(self.groups)):
            raise InputError(f"attribute '{self.name}': a group id is outside 0 … {len(self.groups) - 1}.")

    @property
    def counts(self) -> Ints:
        """Rows per group [G]; a declared group without rows has its place."""
        return np.bincount(self.ids, minlength=len(self.groups)).astype(np.int64)

    @staticmethod
    def of(name: str, values: Sequence[str], declared: Sequence[str]) -> Grouping:
        """Group ids from names; names that were not declared get a place after the declared ones, in sorted order."""
        found = np.asarray(values, dtype=object).astype(str)
        extra = sorted(set(found.tolist()) - set(declared))
        groups = (*declared, *extra)
        place = {group: i for i, group in enumerate(groups)}
        return Grouping(name, groups, np.array([place[v] for v in found.tolist()], dtype=np.int64))


def intersection(groupings: Sequence[Grouping]) -> Grouping:
    """Every combination of the groups of several attributes, in order, whether a row falls into it or not."""
    names, groups, ids = groupings[0].name, groupings[0].groups, groupings[0].ids
    for other in groupings[1:]:
        names = f"{names} & {other.name}"
        groups = tuple(f"{a} & {b}" for a in groups for b in other.groups)
        ids = ids * len(other.groups) + other.ids
    return Grouping(names, groups, ids)


def _check(scored: Scored) -> None:
    """Shapes, class ids and probabilities."""
    rows = len(scored.labels)
    if scored.probabilities.ndim != 2 or scored.probabilities.shape[1] < 2:
        raise InputError(
            f"probabilities must be [rows, classes] with two classes or more; found {scored.probabilities.shape}."
        )
    if scored.decisions.shape != (rows,) or scored.probabilities.shape[0] != rows:
        raise InputError(
            f"labels, decisions and probabilities must have the same rows; found {rows}, "
            f"{len(scored.decisions)} and {len(scored.probabilities)}."
        )
    for name, ids in (("label", scored.labels), ("decision", scored.decisions)):
        wrong = np.flatnonzero((ids < 0) | (ids >= scored.classes))
        if len(wrong):
            raise InputError(f"{name} {ids[wrong[0]]} of row {wrong[0]} is not a class id 0 … {scored.classes - 1}.")
    inside = (scored.probabilities >= -1e-6) & (scored.probabilities <= 1 + 1e-6)
    wrong = np.flatnonzero(~inside.all(1) | (np.abs(scored.probabilities.sum(1) - 1) > 1e-3))
    if len(wrong):
        raise InputError(
            f"the probabilities of row {wrong[0]} are not fractions that sum to 1: {scored.probabilities[wrong[0]].tolist()}."
        )
