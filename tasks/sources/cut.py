"""Numbers as intervals: cut points become names, and each value the name of its interval."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import InputError
from tasks.sources.columns import is_numeric, numbers_in


def cut(column: pd.Series, bins: tuple[float, ...], key: str) -> tuple[pd.Series, tuple[str, ...]]:
    """The name of the interval (-inf, b0], (b0, b1], … of each value, and all names in order.

    Whole numbers are named as they are spoken of: <=25, 26-40, >40.
    """
    if list(bins) != sorted(set(bins)) or not np.isfinite(bins).all():
        raise InputError(f"{key}: {list(bins)} must be finite and rise. Sort the cut points and name each once.")
    if not is_numeric(column):
        raise InputError(
            f"{key}: '{column.name}' is not numeric, so it cannot be cut. Remove the cut points, or name another column."
        )
    numbers = numbers_in(column).to_numpy()
    known = numbers[~np.isnan(numbers)]
    if np.isinf(known).any():
        raise InputError(
            f"column '{column.name}' has infinite values: {int(np.isinf(known).sum()):,}. Replace them by numbers or leave them empty."
        )
    whole = bool((known == np.floor(known)).all() and all(float(b).is_integer() for b in bins))
    names = (f"<={bins[0]:g}", *(_between(a, b, whole) for a, b in itertools.pairwise(bins)), f">{bins[-1]:g}")
    texts: NDArray[Any] = np.array(names, dtype=object)[
        np.searchsorted(np.asarray(bins), numbers).clip(max=len(names) - 1)
    ]
    texts[np.isnan(numbers)] = None
    return pd.Series(texts, index=column.index, name=column.name, dtype="str"), names


def _between(low: float, high: float, whole: bool) -> str:
    if not whole:
        return f"({low:g}, {high:g}]"
    return f"{low + 1:g}" if low + 1 == high else f"{low + 1:g}-{high:g}"
