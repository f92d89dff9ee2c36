"""SMOTE within every cell of class and group: as many new rows of each, beside the rows that there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from models.balancing.component import Need, Resampler, Source
from models.balancing.resample.feature_space import FeatureSpace
from models.balancing.resample.provenance import with_provenance
from models.balancing.resample.smote import drawn_rows, synthesized
from models.balancing.resample.strategy import Strategy, class_ids
from models.errors import InputError

if TYPE_CHECKING:
    from models.schema import Schema


def cells_of(rows: pd.DataFrame, schema: Schema) -> np.ndarray:
    """The cell of class and group of each row [n], numbered without gaps."""
    found = class_ids(rows, schema)
    for attribute in schema.sensitive:
        ids = pd.Index(attribute.groups).get_indexer(pd.Index(rows[attribute.name]))
        found = found * len(attribute.groups) + ids
    return np.unique(found, return_inverse=True)[1]


def cell_smote(rows: pd.DataFrame, schema: Schema, neighbours: int, seed: int) -> pd.DataFrame:
    """All rows in their order, then for every cell as many synthetic rows as the largest cell has rows.

    A cell has as many neighbours as it can: with fewer than `neighbours` + 1 rows all its others; one of a single row gets
    none. Raises InputError where nothing can be interpolated.
    """
    space, cells = FeatureSpace.of(rows, schema), cells_of(rows, schema)
    if not space.numeric:
        raise InputError(
            "'cell_smote' interpolates numeric columns, but no feature is numeric. Choose another resampler."
        )
    counts = np.bincount(cells)
    near = np.minimum(counts - 1, neighbours)
    if len(counts) < 2 or not (near > 0).any():
        raise InputError(
            "'cell_smote' needs two cells of class and group, and one with two rows. Choose another resampler."
        )
    made = [
        synthesized(rows, space, drawn)
        for k in np.unique(near[near > 0])
        for drawn in drawn_rows(
            space,
            cells,
            {int(c): int(counts[c] + counts.max()) for c in np.flatnonzero(near == k)},
            int(k),
            seed + int(k),
        )
    ]
    return pd.concat([with_provenance(rows), *made], ignore_index=True)


@dataclass(frozen=True)
class CellSMOTE(Resampler):
    """A balanced synthetic table beside the real one, whose largest cells get new rows too.

    `resample.sampling_strategy` is about classes and does not apply.
    """

    name: ClassVar[str] = "cell_smote"
    formula: ClassVar[str] = (
        "max n_yg new rows of every class y and group g: x' = x + u (x_nn - x), x_nn among the k nearest of the cell"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"table", "groups"})
    synthesizes: ClassVar[bool] = True
    source: ClassVar[Source] = Source(
        "SMOTE: Synthetic Minority Over-sampling Technique",
        "N. V. Chawla, K. W. Bowyer, L. O. Hall, W. P. Kegelmeyer",
        2002,
        "arXiv:1106.1813",
    )

    def resample(
        self, rows: pd.DataFrame, schema: Schema, strategy: Strategy, neighbours: int, seed: int
    ) -> pd.DataFrame:
        """Training rows -> the same rows and synthetic ones."""
        return cell_smote(rows, schema, neighbours, seed)
