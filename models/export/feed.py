"""A table of raw columns as the inputs of an exported graph, for those who call it from Python."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from models.preprocess import Preprocessor
from models.values import as_text


def feed(preprocessor: Preprocessor, rows: pd.DataFrame, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """The inputs `names` of the graph from typed rows: text with "" for missing, float64 with NaN, dates as days."""
    numbers = {c.name: c for c in preprocessor.numeric if c.kind != "ordinal" or c.categories is None}
    found: dict[str, NDArray[Any]] = {}
    for name in names:
        if preprocessor.image is not None and name == preprocessor.image.column:
            found[name] = preprocessor.encode(rows).numeric.numpy()
        elif name in numbers:
            found[name] = numbers[name].raw(rows[name])
        else:
            found[name] = as_text(rows[name]).fillna("").to_numpy(object)
    return found
