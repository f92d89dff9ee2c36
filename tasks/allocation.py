"""Dividing rows into parts in proportion, cell by cell, so that copies stay together and small cells are spread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.errors import InputError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def allocate(
    classes: Ints,
    cells: Ints,
    copies: Ints,
    shares: Sequence[float],
    names: Sequence[str],
    generator: np.random.Generator,
) -> Ints:
    """Part 0 … P-1 of each row [n].

    classes [n] and cells [n] (finer than classes) say what must be spread in proportion to `shares` [P]; rows with the
    same number in `copies` [n] get the same part. Copies are placed first, then single rows fill what each cell still
    lacks. What one cell rounds up the next rounds down, so that a class is off its share by about a row, and cells of
    one or two rows are spread over all parts instead of falling to the largest. Every class is in every part.
    Raises InputError for a class with fewer distinct rows than there are parts; `names` are the classes' names.
    """
    weights = np.asarray(shares, dtype=np.float64) / sum(shares)
    _, unit, size = np.unique(copies, return_inverse=True, return_counts=True)
    _require_distinct(classes, unit, len(weights), names)
    parts = np.full(len(classes), -1, dtype=np.int64)
    order = generator.permutation(len(classes))
    copied = order[size[unit[order]] > 1]
    _place_copies(copied[np.argsort(cells[copied], kind="stable")], classes, unit, weights, parts)
    single = order[size[unit[order]] == 1]
    _place_single_rows(single, classes, cells, weights, parts)
    _fill_empty_parts(single, classes, len(weights), parts)
    _require_every_class(classes, parts, len(weights), names)
    return parts


def _require_distinct(classes: Ints, unit: Ints, parts: int, names: Sequence[str]) -> None:
    pairs = np.unique(np.stack([classes, unit]), axis=1)
    rows, distinct = np.bincount(classes, minlength=len(names)), np.bincount(pairs[0], minlength=len(names))
    for label, name in enumerate(names):
        if distinct[label] < parts:
            raise InputError(
                f"class '{name}' has {rows[label]} rows, {distinct[label]} of them distinct; {parts} parts need at least "
                f"{parts}, and far more to judge a model by. Collect more, merge the class with another (target.bins for "
                "a number), or leave its rows out."
            )


def _place_copies(rows: Ints, classes: Ints, unit: Ints, weights: Floats, parts: Ints) -> None:
    """Units of several rows, large ones first and else in the given order, each to the part that lags most behind.

    A part lags by the rows that it holds of the unit's classes, relative to its share; a unit of one class alone thus
    goes where Sainte-Laguë's method of apportionment would put it.
    """
    if not len(rows):
        return
    numbers, first, members = np.unique(unit[rows], return_index=True, return_inverse=True)
    counts = np.zeros((len(numbers), int(classes.max()) + 1))
    np.add.at(counts, (members, classes[rows]), 1.0)
    total = np.bincount(classes, minlength=counts.shape[1])
    size = counts.sum(1)
    large = size > max(2.0, 0.001 * len(classes))
    order = np.lexsort((first, np.where(large, -size, 0.0), ~large))
    capacity = weights[:, None] * np.maximum(total, 1)[None, :]
    filled = np.zeros_like(capacity)
    chosen = np.zeros(len(numbers), dtype=np.int64)
    for number in order:
        held = counts[number]
        part = int(np.argmin(((filled + held / 2) / capacity) @ held))
        filled[part] += held
        chosen[number] = part
    parts[rows] = chosen[members]


def _place_single_rows(rows: Ints, classes: Ints, cells: Ints, weights: Floats, parts: Ints) -> None:
    """Fill what each cell still lacks by largest remainder; within a class the rounding error goes on to the next cell."""
    numbers, cell = np.unique(cells, return_inverse=True)
    placed = parts >= 0
    held = np.zeros((len(numbers), len(weights)))
    np.add.at(held, (cell[placed], parts[placed]), 1.0)
    total = np.bincount(cell)
    class_of = np.zeros(len(numbers), dtype=np.int64)
    class_of[cell] = classes
    ordered = rows[np.lexsort((cell[rows], classes[rows]))]
    starts = np.flatnonzero(np.diff(cell[ordered], prepend=-1))
    carry: dict[int, Floats] = {}
    # Cells made of copies alone have no single row to even them out: the next cell of their class does it.
    lone = np.setdiff1d(np.arange(len(numbers)), cell[rows])
    for number in lone:
        label = int(class_of[number])
        carry[label] = carry.get(label, 0.0) + weights * total[number] - held[number]
    for members in np.split(ordered, starts[1:]) if len(ordered) else ():
        number = int(cell[members[0]])
        label = int(class_of[number])
        lacking = weights * total[number] - held[number] + carry.get(label, 0.0)
        counts = _rounded(lacking, len(members))
        carry[label] = lacking - counts
        parts[members] = np.repeat(np.arange(len(weights)), counts)


def _rounded(lacking: Floats, count: int) -> Ints:
    """Whole numbers of sum `count`, none negative, nearest to `lacking`: the excess is taken from all that lack evenly."""
    wanted = lacking.copy()
    while True:
        open_ = wanted > 0
        excess = wanted[open_].sum() - count
        if not open_.any():
            wanted = np.full(len(lacking), count / len(lacking))
            break
        wanted = np.where(open_, wanted - excess / open_.sum(), 0.0)
        if (wanted >= 0).all():
            break
    counts = np.floor(wanted + 1e-9).astype(np.int64)
    order = np.argsort(-(wanted - counts), kind="stable")
    counts[order[: count - int(counts.sum())]] += 1
    return counts


def _fill_empty_parts(single: Ints, classes: Ints, parts_count: int, parts: Ints) -> None:
    """Give a part without a row of a class one single row of it, from the part that has the most."""
    held = _counts(classes, parts, parts_count)
    for label, part in np.argwhere(held == 0):
        own = single[classes[single] == label]
        available = np.bincount(parts[own], minlength=parts_count)
        richest = int(np.argmax(np.where(available > 0, held[label], 0)))
        if available[richest] > 0 and held[label, richest] > 1:
            parts[own[parts[own] == richest][0]] = part
            held = _counts(classes, parts, parts_count)


def _counts(classes: Ints, parts: Ints, parts_count: int) -> Ints:
    """Rows of each class and part [C, P]."""
    cells = np.bincount(classes * parts_count + parts, minlength=(int(classes.max()) + 1) * parts_count)
    return cells.reshape(-1, parts_count)


def _require_every_class(classes: Ints, parts: Ints, parts_count: int, names: Sequence[str]) -> None:
    for label, _ in np.argwhere(_counts(classes, parts, parts_count) == 0):
        raise InputError(
            f"class '{names[int(label)]}' does not reach every part: too few of its rows are distinct, and copies must "
            "stay together. Collect more rows of it, or leave it out."
        )
