"""Which rows of the past are kept in mind: a memory in which classes are as frequent as they were in what was learned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def quotas(learned: Ints, size: int) -> Ints:
    """Rows learned per class [C] -> rows per class [C] of a memory of `size` rows, by largest remainders.

    Each is off `size n_c / n` by less than a row, and of two equal remainders the first class gets the row.
    """
    if not learned.sum():
        return np.zeros_like(learned)
    exact = size * learned / learned.sum()
    whole = np.floor(exact).astype(np.int64)
    first = np.argsort(whole - exact, kind="stable")[: size - int(whole.sum())]
    whole[first] += 1
    return whole


def class_proportional(classes: Ints, learned: Ints, size: int, generator: np.random.Generator) -> Ints:
    """Positions, in their order, of rows drawn at random: of each class as many as its quota, or all that there are.

    classes [n] are those of the rows that can be drawn, learned [C] the rows of each class in all that was learned.
    """
    drawn = [
        generator.permutation(np.flatnonzero(classes == label))[:quota]
        for label, quota in enumerate(quotas(learned, size))
    ]
    return np.sort(np.concatenate(drawn)).astype(np.int64)
