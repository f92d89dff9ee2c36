"""The space in which rows are near each other or far, and the way back from it to typed columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.preprocess import numeric_values
from models.schema import Column, Schema

SECONDS_PER_DAY = 86_400
MISSING = -1
"""Category id of a missing value: a level of its own, as it is to the learners."""


@dataclass(frozen=True)
class FeatureSpace:
    """Training rows as numbers.

    Only features take part: no sensitive attribute, identifier, weight or time, so that they cannot shape a synthetic
    row. `raw` [n, F] holds numeric, ordinal (rank) and date (days) columns with NaN for missing, `codes` [n, K]
    category ids (-1 is missing) into `levels`.
    """

    numeric: tuple[Column, ...]
    categorical: tuple[Column, ...]
    raw: np.ndarray
    codes: np.ndarray
    levels: tuple[np.ndarray, ...]

    @staticmethod
    def of(rows: pd.DataFrame, schema: Schema) -> FeatureSpace:
        """The space of these rows."""
        features = [c for c in schema.features(sensitive=False) if c.name != schema.time]
        numeric = tuple(c for c in features if c.kind in ("numeric", "ordinal", "date"))
        categorical = tuple(c for c in features if c.kind == "categorical")
        raw = [numeric_values(rows[c.name], c.kind, c.categories) for c in numeric]
        coded = [pd.factorize(rows[c.name].astype("object"), sort=True) for c in categorical]
        return FeatureSpace(
            numeric,
            categorical,
            np.stack(raw, 1) if raw else np.empty((len(rows), 0)),
            np.stack([codes for codes, _ in coded], 1) if coded else np.empty((len(rows), 0), np.int64),
            tuple(np.asarray(levels, dtype=object) for _, levels in coded),
        )

    def scaled(self) -> np.ndarray:
        """[n, F] for the neighbour search: missing values at the column's median, each column standardized.

        Without it the column with the largest unit alone would decide who is a neighbour.
        """
        known = ~np.isnan(self.raw)
        filled = self.raw.copy()
        for position in range(filled.shape[1]):
            column, present = filled[:, position], known[:, position]
            column[~present] = np.median(column[present]) if present.any() else 0.0
        deviation = filled.std(0)
        return np.asarray((filled - filled.mean(0)) / np.where(deviation > 0, deviation, 1.0))

    def points(self) -> np.ndarray:
        """[n, F + levels]: the scaled columns, then indicators of the categories, by which two that differ are 1 apart."""
        indicators = [
            (self.codes[:, [k]] == np.arange(MISSING, len(levels))) / 2**0.5 for k, levels in enumerate(self.levels)
        ]
        return np.concatenate([self.scaled(), *indicators], 1)

    def between(self, parents: np.ndarray, neighbours: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Points on the way from parents to neighbours (positions [m]) in the columns' own units [m, F].

        What the parent lacks stays missing; where only the neighbour lacks a value, the parent's stays.
        """
        start, end = self.raw[parents], self.raw[neighbours]
        end = np.where(np.isnan(end), start, end)
        return np.asarray(start + shares[:, None] * (end - start))

    def typed(self, values: np.ndarray, position: int, like: pd.Series) -> pd.Series:
        """Numbers of the numeric column at `position` as values of that column, of the type of `like`.

        A column of whole numbers only stays whole, ordinal values are the nearest rank, dates are whole days where all
        are and whole seconds else: a fraction would tell a learner which rows are synthetic, and so their class.
        """
        column, source = self.numeric[position], self.raw[:, position]
        known = source[~np.isnan(source)]
        whole = bool((known == np.rint(known)).all())
        if column.kind == "date":
            grain = 1 if whole else SECONDS_PER_DAY
            seconds = np.rint(values * grain) * (SECONDS_PER_DAY // grain)
            dates = pd.Series(pd.to_datetime(seconds, unit="s"))
            return (dates.dt.tz_localize("UTC") if isinstance(like.dtype, pd.DatetimeTZDtype) else dates).astype(
                like.dtype
            )
        if column.kind == "ordinal" and column.categories is not None:
            ranks = np.where(np.isnan(values), MISSING, np.rint(values)).astype(np.int64)
            return self._named(ranks, np.asarray(column.categories, dtype=object), like)
        return pd.Series(np.rint(values) if whole else values).astype(like.dtype)

    def named(self, codes: np.ndarray, position: int, like: pd.Series) -> pd.Series:
        """Category ids [m] of the categorical column at `position` as values of that column."""
        return self._named(codes.astype(np.int64), self.levels[position], like)

    @staticmethod
    def _named(codes: np.ndarray, levels: np.ndarray, like: pd.Series) -> pd.Series:
        with_missing = np.array([*levels, None], dtype=object)
        return pd.Series(with_missing[codes], dtype="object").astype(like.dtype)
