"""How the values of a column are written as text, so that a code read as 1, 1.0 or '1' is one and the same category."""

from __future__ import annotations

import numpy as np
import pandas as pd


def as_text(column: pd.Series) -> pd.Series:
    """The column as text with missing values kept: whole numbers without a point, true and false in lower case."""
    if isinstance(column.dtype, pd.StringDtype):
        return column.astype("str")
    codes, distinct = pd.factorize(column, use_na_sentinel=True)
    written = np.array([_written(value) for value in distinct], dtype=object)
    texts = np.full(len(column), None, dtype=object)
    texts[codes >= 0] = written[codes[codes >= 0]]
    return pd.Series(texts, index=column.index, name=column.name, dtype="str")


def _written(value: object) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()
