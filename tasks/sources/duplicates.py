"""Which rows are exact copies of one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def same_rows(rows: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.int64]:
    """A number per row [n]: equal for two rows exactly when they are equal in all `columns`, missing values included."""
    combined = np.zeros(len(rows), dtype=np.int64)
    for name in columns:
        codes, distinct = pd.factorize(rows[name])
        # Renumbering after every column keeps the product below 2^63 and the comparison exact.
        combined, _ = pd.factorize(combined * (len(distinct) + 1) + codes + 1)
    return combined.astype(np.int64)
