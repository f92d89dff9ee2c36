"""Rows that a preprocessor could meet, made up from what it knows: to compare two ways of scoring without any data."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd

from models.preprocess import ImageInput, NumericColumn, Preprocessor
from models.schema import Kind

UNSEEN = "a value that no training row had"
"""Stands for a category, or a group, that is new."""


def sample(preprocessor: Preprocessor, rows: int, seed: int) -> pd.DataFrame:
    """Typed rows [rows] with the columns and the sensitive attributes: values within and beyond, at and between those of training.

    Some values are missing, and some categories are new.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, pd.Series] = {}
    if preprocessor.image is not None:
        found[preprocessor.image.column] = _images(preprocessor.image, rows, rng)
    for column in preprocessor.numeric:
        if column.kind == "ordinal" and column.categories is not None:
            found[column.name] = _texts(column.categories, rows, rng)
        else:
            found[column.name] = _numbers(column, rows, rng)
    for categorical in preprocessor.categorical:
        found[categorical.name] = _texts(categorical.categories, rows, rng)
    for attribute in preprocessor.schema_.sensitive:
        if attribute.name not in found:
            found[attribute.name] = _texts(attribute.groups, rows, rng)
    return pd.DataFrame(found)


def _numbers(column: NumericColumn, rows: int, rng: np.random.Generator) -> pd.Series:
    """About half of the values are those of training, the others lie between and a little outside; dates are dates."""
    known = np.array(column.values)
    width = float(known[-1] - known[0]) or 1.0
    exact = rng.choice(known, rows)
    between = rng.uniform(known[0] - 0.1 * width, known[-1] + 0.1 * width, rows)
    values = np.where(rng.random(rows) < 0.5, exact, between)
    values[rng.random(rows) < 0.1] = np.nan
    kind: Kind | str = column.kind
    if kind == "date":
        return pd.Series(pd.Timestamp("1970-01-01") + pd.to_timedelta(np.round(values), unit="D"))
    return pd.Series(values)


def _texts(known: tuple[str, ...], rows: int, rng: np.random.Generator) -> pd.Series:
    values = pd.Series(rng.choice(np.array([*known, UNSEEN], dtype=object), rows), dtype="str")
    return values.mask(rng.random(rows) < 0.1)


def _images(image: ImageInput, rows: int, rng: np.random.Generator) -> pd.Series:
    from PIL import Image

    found = []
    for _ in range(rows):
        pixels = rng.integers(0, 256, (image.height, image.width, image.channels), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels[..., 0] if image.channels == 1 else pixels).save(buffer, format="PNG")
        found.append(buffer.getvalue())
    return pd.Series(found, dtype=object)
