"""From typed rows to tensors: fitted on training rows, saved as JSON, the same for every learner."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict

from models.data import Split
from models.errors import InputError, nearest
from models.learners.learner import Input
from models.schema import Schema
from models.targets import TargetScale, strata_ids, values
from models.values import as_text

KNOTS = 512
"""Points of a numeric column's piecewise-linear map, at most."""


class NumericColumn(BaseModel):
    """A numeric, ordinal or date column: a piecewise-linear map of its values to about a standard normal.

    `values` are increasing points of the training distribution and `scores` what they become: the normal quantile of
    their mid-rank, standardized. Values outside keep the nearest end's score. A missing value becomes 0, and 1 in the
    column's indicator where training rows had missing values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str
    categories: tuple[str, ...] | None = None
    values: tuple[float, ...]
    scores: tuple[float, ...]
    indicator: bool

    def raw(self, column: pd.Series) -> np.ndarray:
        """The column as float64 with NaN for missing: dates as days, ordinal values as their rank."""
        return numeric_values(column, self.kind, self.categories)

    def encode(self, column: pd.Series) -> list[np.ndarray]:
        """The column's one or two encoded columns [n] float32."""
        raw = self.raw(column)
        missing = np.isnan(raw)
        scored = np.interp(np.where(missing, 0.0, raw), self.values, self.scores)
        encoded = [np.where(missing, 0.0, scored).astype(np.float32)]
        return [*encoded, missing.astype(np.float32)] if self.indicator else encoded


class CategoricalColumn(BaseModel):
    """A categorical column: ids 1 … K for the categories seen in training, 0 for missing and for all others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    categories: tuple[str, ...]

    def encode(self, column: pd.Series) -> np.ndarray:
        """Category ids [n] int64."""
        return category_ids(column, self.categories) + 1


class ImageInput(BaseModel):
    """Images of one size; mean and deviation per channel in [0, 1] over the training images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


class Preprocessor(BaseModel):
    """Everything between a table of raw columns and the tensors of a Split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Schema
    numeric: tuple[NumericColumn, ...] = ()
    categorical: tuple[CategoricalColumn, ...] = ()
    image: ImageInput | None = None
    target_scale: TargetScale | None = None

    @staticmethod
    def fit(rows: pd.DataFrame, schema: Schema, sensitive_features: bool) -> Preprocessor:
        """Learn the encoding from training rows only."""
        number = schema.target.kind == "regression"
        scale = TargetScale.fit(rows[schema.target.column]) if number else None
        features = [c for c in schema.features(sensitive_features) if c.name != schema.time]
        if not features:
            raise InputError(
                f"data '{schema.dataset}': no feature is left. Check data.drop, the dropped columns in the data card, "
                "and model.sensitive_features."
            )
        images = [c for c in features if c.kind == "image"]
        if images:
            image = _fit_image(rows[images[0].name], images[0].name)
            return Preprocessor(schema_=schema, image=image, target_scale=scale)
        numeric = [
            _fit_numeric(c.name, c.kind, c.categories, rows[c.name])
            for c in features
            if c.kind in ("numeric", "ordinal", "date")
        ]
        categorical = []
        for c in features:
            if c.kind == "categorical":
                seen = set(as_text(rows[c.name]).dropna().unique())
                known = tuple(v for v in c.categories if v in seen) if c.categories else tuple(sorted(seen))
                categorical.append(CategoricalColumn(name=c.name, categories=known))
        return Preprocessor(schema_=schema, numeric=tuple(numeric), categorical=tuple(categorical), target_scale=scale)

    @property
    def columns(self) -> tuple[str, ...]:
        """The raw columns that encoding needs."""
        if self.image is not None:
            return (self.image.column,)
        return (*(c.name for c in self.numeric), *(c.name for c in self.categorical))

    @property
    def inputs(self) -> Input:
        """What the encoded rows look like to a net."""
        if self.image is not None:
            shape = (self.image.channels, self.image.height, self.image.width)
            return Input(0, (), shape, self.image.mean, self.image.deviation)
        width = sum(2 if c.indicator else 1 for c in self.numeric)
        return Input(width, tuple(len(c.categories) + 1 for c in self.categorical))

    def encode(self, rows: pd.DataFrame) -> Split:
        """Rows -> tensors. Without a target column labels and values are 0, without a sensitive one groups are 0."""
        missing = [c for c in self.columns if c not in rows.columns]
        if missing:
            hints = " ".join(f"'{m}': {nearest(m, rows.columns)}" for m in missing[:3])
            raise InputError(f"columns are missing: {', '.join(missing)}. {hints}")
        count = len(rows)
        if self.image is not None:
            numeric = torch.from_numpy(_decode(rows[self.image.column], self.image))
        else:
            pieces = [part for c in self.numeric for part in c.encode(rows[c.name])]
            numeric = torch.from_numpy(np.stack(pieces, 1) if pieces else np.zeros((count, 0), np.float32))
        ids = [c.encode(rows[c.name]) for c in self.categorical]
        target = self.schema_.target
        return Split(
            numeric=numeric,
            categorical=torch.from_numpy(np.stack(ids, 1) if ids else np.zeros((count, 0), np.int64)),
            labels=torch.from_numpy(
                strata_ids(rows, target) if target.balanced_by in rows.columns else np.zeros(count, np.int64)
            ),
            groups=self.groups(rows),
            weights=_column(rows, "weight", 1.0, np.float32),
            row_ids=_column(rows, "row_id", 0, np.int64),
            synthetic=_column(rows, "synthetic", False, np.bool_),
            classes=len(target.strata),
            group_count=self.group_count,
            task=target.kind,
            values=torch.from_numpy(values(rows, target, self.target_scale)),
        )

    @property
    def group_count(self) -> int:
        """Number of intersections of all sensitive attributes, present or not."""
        return int(np.prod([len(a.groups) for a in self.schema_.sensitive], dtype=np.int64))

    def groups(self, rows: pd.DataFrame) -> torch.Tensor:
        """The intersection of all sensitive attributes of each row [n] int64, in mixed radix; unknown groups count as the first."""
        combined = torch.zeros(len(rows), dtype=torch.int64)
        for attribute in self.schema_.sensitive:
            combined = combined * len(attribute.groups) + _group_ids(rows, attribute.name, attribute.groups)
        return combined


def category_ids(column: pd.Series, names: tuple[str, ...]) -> np.ndarray:
    """The position of each value among `names` [n] int64, -1 for missing and for others; 1, 1.0 and '1' are one value."""
    return np.asarray(pd.Index(names, dtype="str").get_indexer(pd.Index(as_text(column))), dtype=np.int64)


def numeric_values(column: pd.Series, kind: str, categories: tuple[str, ...] | None) -> np.ndarray:
    """A column as float64 with NaN for missing: dates as days since 1970, ordinal values as their rank."""
    if kind == "date":
        dates = pd.to_datetime(column)
        if getattr(dates.dt, "tz", None) is not None:
            dates = dates.dt.tz_convert(None)
        days = (dates - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
        return np.asarray(days, dtype=np.float64)
    if kind == "ordinal" and categories is not None:
        ranks = category_ids(column, categories).astype(np.float64)
        return np.where(ranks < 0, np.nan, ranks)
    try:
        return np.asarray(pd.to_numeric(column), dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(f"column '{column.name}': it must be numeric, but {error}") from None


def _fit_numeric(name: str, kind: str, categories: tuple[str, ...] | None, column: pd.Series) -> NumericColumn:
    raw = numeric_values(column, kind, categories)
    known = raw[~np.isnan(raw)]
    if known.size == 0:
        return NumericColumn(name=name, kind=kind, categories=categories, values=(0.0,), scores=(0.0,), indicator=False)
    values, counts = np.unique(known, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / known.size
    from scipy.special import ndtri  # half a second, which a look at the methods need not wait for

    scores = ndtri(middle)
    spread = float(np.sqrt(np.average((scores - np.average(scores, weights=counts)) ** 2, weights=counts)))
    scores = (scores - np.average(scores, weights=counts)) / (spread if spread > 0 else 1.0)
    if len(values) > KNOTS:
        levels = np.linspace(0, 1, KNOTS)
        keep = np.unique(np.searchsorted(middle, levels[1:-1]).clip(0, len(values) - 1))
        keep = np.unique(np.concatenate([[0], keep, [len(values) - 1]]))
        values, scores = values[keep], scores[keep]
    return NumericColumn(
        name=name,
        kind=kind,
        categories=categories,
        values=tuple(values.tolist()),
        scores=tuple(scores.tolist()),
        indicator=bool(np.isnan(raw).any()),
    )


def _group_ids(rows: pd.DataFrame, column: str, names: tuple[str, ...]) -> torch.Tensor:
    if column not in rows.columns:
        return torch.zeros(len(rows), dtype=torch.int64)
    return torch.from_numpy(category_ids(rows[column], names)).clamp(min=0)


def _column(rows: pd.DataFrame, name: str, default: Any, dtype: Any) -> torch.Tensor:
    if name in rows.columns:
        return torch.from_numpy(np.array(rows[name], dtype=dtype))
    return torch.from_numpy(np.full(len(rows), default, dtype=dtype))


def _fit_image(column: pd.Series, name: str) -> ImageInput:
    first = _open(column.iloc[0], name, 0)
    channels = 1 if first.ndim == 2 else 3
    shape = ImageInput(
        column=name, channels=channels, height=first.shape[0], width=first.shape[1], mean=(0.0,), deviation=(1.0,)
    )
    pixels = _decode(column, shape)
    means = [float(pixels[:, c].mean(dtype=np.float64)) / 255 for c in range(channels)]
    deviations = [max(float(pixels[:, c].std(dtype=np.float64)) / 255, 1e-3) for c in range(channels)]
    return shape.model_copy(update={"mean": tuple(means), "deviation": tuple(deviations)})


def _open(data: bytes, name: str, row: int) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"), dtype=np.uint8)
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"column '{name}', row {row}: not a readable image ({error}).") from None


def _decode(column: pd.Series, shape: ImageInput) -> np.ndarray:
    """Encoded images -> [n, channels, height, width] uint8."""
    pixels = np.empty((len(column), shape.channels, shape.height, shape.width), dtype=np.uint8)
    for position, data in enumerate(column):
        image = _open(data, shape.column, position)
        image = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
        if image.shape[0] != shape.channels:
            image = image[:1] if shape.channels == 1 else np.repeat(image[:1], 3, 0)
        if image.shape[1:] != pixels.shape[2:]:
            raise InputError(
                f"column '{shape.column}', row {position}: the image is {image.shape[1]}x{image.shape[2]}, the others are "
                f"{shape.height}x{shape.width}. Resize the images to one size."
            )
        pixels[position] = image
    return pixels


def load_preprocessor(value: Mapping[str, Any]) -> Preprocessor:
    """A preprocessor from its JSON."""
    return Preprocessor.model_validate(value)
