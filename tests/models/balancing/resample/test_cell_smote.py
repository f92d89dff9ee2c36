"""SMOTE within cells of class and group: how many rows, from where, and what it refuses."""

import numpy as np
import pandas as pd
import pytest

from models.balancing.resample.cell_smote import cell_smote, cells_of
from models.errors import InputError


def test_every_cell_gets_as_many_new_rows_as_the_largest_has(rows, schema):
    found = cell_smote(rows, schema, 5, 0)
    pd.testing.assert_frame_equal(found[rows.columns][: len(rows)], rows, check_dtype=False)
    made = found[found["synthetic"]]
    before = rows.groupby(["default", "group"]).size()
    after = made.groupby(["default", "group"]).size()
    assert (after == before.max()).all()
    assert set(after.index) == set(before[before > 1].index)


def test_a_new_row_lies_between_two_rows_of_its_cell(rows, schema):
    found = cell_smote(rows, schema, 5, 0)
    made, cells = found[found["synthetic"]], pd.Series(cells_of(rows, schema), index=rows["row_id"])
    assert (cells.loc[made["row_id"]].to_numpy() == cells.loc[made["neighbour_row_id"]].to_numpy()).all()
    by_id = rows.set_index("row_id")
    for column in ("group", "default"):
        assert (by_id.loc[made["row_id"], column].to_numpy() == made[column].to_numpy()).all()
    ends = np.stack([by_id.loc[made[i], "income"].to_numpy() for i in ("row_id", "neighbour_row_id")])
    known = ~np.isnan(ends).any(0)
    value = made["income"].to_numpy()[known]
    assert (value >= ends[:, known].min(0) - 1e-6).all()
    assert (value <= ends[:, known].max(0) + 1e-6).all()


def test_a_cell_of_one_row_is_left_as_it_is(rows, schema):
    lonely = rows["default"].eq("yes") & rows["group"].eq("missing")
    rows = pd.concat([rows[~lonely], rows[lonely].iloc[:1]], ignore_index=True)
    made = cell_smote(rows, schema, 5, 0).query("synthetic")
    assert not (made["default"].eq("yes") & made["group"].eq("missing")).any()


def test_the_same_seed_gives_the_same_rows(rows, schema):
    first, again, other = (cell_smote(rows, schema, 3, seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first["income"].equals(other["income"])


def test_one_cell_is_refused(rows, schema):
    with pytest.raises(InputError, match="needs two cells"):
        cell_smote(rows[rows["default"].eq("no") & rows["group"].eq("A")], schema, 5, 0)
