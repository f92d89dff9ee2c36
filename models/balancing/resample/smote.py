"""SMOTE: new rows between a row of a smaller class and one of its nearest neighbours in that class.

On a table with categorical features it is SMOTE-NC: numeric columns are interpolated, categorical ones take the value
that most neighbours have, and a category that differs counts as the median deviation of the numeric columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from models.balancing.component import Claim, Need, Resampler, Source
from models.balancing.resample.feature_space import FeatureSpace
from models.balancing.resample.provenance import with_provenance
from models.balancing.resample.strategy import Strategy, class_ids, class_totals
from models.errors import InputError

if TYPE_CHECKING:
    from models.balancing.recorded_smote import Drawn
    from models.schema import Schema


def smote(rows: pd.DataFrame, schema: Schema, strategy: Strategy, neighbours: int, seed: int) -> pd.DataFrame:
    """All rows in their order, then the synthetic ones class by class.

    A synthetic row has its parent's `row_id`, weight, sensitive attributes and every other column that is no feature.
    Raises InputError for images, for tables without a numeric feature, and for a class too small for `neighbours`.
    """
    if any(c.kind == "image" for c in schema.columns):
        raise InputError(
            "'smote' interpolates columns of a table, but the data are images. Choose random_over or random_under."
        )
    labels = class_ids(rows, schema)
    classes = schema.target.classes
    totals = class_totals(strategy, labels, classes, "over", SMOTE.name)
    counts = np.bincount(labels, minlength=len(classes))
    for grown, total in totals.items():
        if total > counts[grown] and counts[grown] <= neighbours:
            raise InputError(_too_few(classes[grown], int(counts[grown]), neighbours))
    space = FeatureSpace.of(rows, schema)
    if not space.numeric:
        raise InputError(
            "'smote' interpolates numeric columns, but no feature is numeric. Choose random_over or random_under."
        )
    known = with_provenance(rows)
    made = [synthesized(rows, space, drawn) for drawn in drawn_rows(space, labels, totals, neighbours, seed)]
    return pd.concat([known, *made], ignore_index=True)


def _too_few(name: str, rows: int, neighbours: int) -> str:
    if rows < 2:
        remedy = "Choose random_over"
    else:
        remedy = f"Set resample.k_neighbors to at most {rows - 1}, or choose random_over"
    return (
        f"'smote': class '{name}' has {rows:,} training rows, too few for {neighbours} neighbours "
        f"(it needs at least {neighbours + 1}). {remedy}."
    )


def drawn_rows(
    space: FeatureSpace, labels: np.ndarray, totals: Mapping[int, int], neighbours: int, seed: int
) -> list[Drawn]:
    """What imbalanced-learn draws, class by class."""
    from models.balancing.recorded_smote import RecordedSMOTE, RecordedSMOTENC

    numeric = space.scaled()
    settings = {"sampling_strategy": dict(totals), "k_neighbors": neighbours, "random_state": seed}
    if not space.categorical:
        sampler = RecordedSMOTE(**settings)
        sampler.fit_resample(numeric, labels)
    else:
        columns = list(range(numeric.shape[1], numeric.shape[1] + space.codes.shape[1]))
        sampler = RecordedSMOTENC(columns, **settings)
        sampler.fit_resample(np.concatenate([numeric, space.codes], 1), labels)
    return sampler.drawn_


def synthesized(rows: pd.DataFrame, space: FeatureSpace, drawn: Drawn) -> pd.DataFrame:
    """The rows of one draw: the parents' rows with their features replaced."""
    made = rows.iloc[drawn.parents].reset_index(drop=True)
    values = space.between(drawn.parents, drawn.neighbours, drawn.shares)
    for position, column in enumerate(space.numeric):
        made[column.name] = space.typed(values[:, position], position, rows[column.name])
    for position, column in enumerate(space.categorical):
        made[column.name] = space.named(drawn.categories[:, position], position, rows[column.name])
    return with_provenance(made, synthetic=True, neighbours=rows["row_id"].to_numpy()[drawn.neighbours])


@dataclass(frozen=True)
class SMOTE(Resampler):
    """Interpolates rows in the space of standardized features; SMOTE-NC where there are categories."""

    name: ClassVar[str] = "smote"
    formula: ClassVar[str] = (
        "x' = x + u (x_nn - x), u ~ U(0, 1), x_nn among the k nearest of the class; categories by vote"
    )
    source: ClassVar[Source] = Source(
        "SMOTE: Synthetic Minority Over-sampling Technique",
        "N. V. Chawla, K. W. Bowyer, L. O. Hall, W. P. Kegelmeyer",
        2002,
        "arXiv:1106.1813",
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"table"})
    synthesizes: ClassVar[bool] = True
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes with rows made between theirs", "long_tail", "balanced_accuracy"
    )

    def resample(
        self, rows: pd.DataFrame, schema: Schema, strategy: Strategy, neighbours: int, seed: int
    ) -> pd.DataFrame:
        """Training rows -> the same rows and synthetic ones."""
        return smote(rows, schema, strategy, neighbours, seed)
