"""What every resampler must do, found by looking, not listed."""

import pandas as pd
import pytest

from models.balancing import catalogue
from models.balancing.resample.provenance import NO_NEIGHBOUR
from models.errors import InputError

RESAMPLERS = [m.build({}) for m in catalogue().values() if m.slot == "resample"]
TRAVELS = ["weight", "group", "account", "default"]
named = pytest.mark.parametrize("method", RESAMPLERS, ids=lambda m: m.name)
BALANCING = [m for m in RESAMPLERS if not m.rehearses]
balancing = pytest.mark.parametrize("method", BALANCING, ids=lambda m: m.name)


def test_the_resamplers_of_imbalanced_learn_are_there():
    assert {"random_over", "random_under", "smote"} <= {m.name for m in RESAMPLERS}


@balancing
def test_classes_are_balanced(method, rows, schema):
    table = method.resample(rows, schema, "auto", 5, 0)
    if "groups" in method.needs:
        # It balances the cells of what it makes, beside the rows that there are.
        counts = table[table["synthetic"]].groupby(["default", "group"]).size()
        assert counts.nunique() == 1
        return
    counts = table["default"].value_counts()
    assert counts["no"] == counts["yes"]


@named
def test_weights_groups_identifiers_and_the_target_travel_with_the_row(method, rows, schema):
    found = method.resample(rows, schema, "auto", 5, 0)
    source = rows.set_index("row_id").loc[found["row_id"], TRAVELS]
    pd.testing.assert_frame_equal(found[TRAVELS], source.reset_index(drop=True))


@named
def test_rows_that_are_not_synthetic_are_rows_of_the_source(method, rows, schema):
    found = method.resample(rows, schema, "auto", 5, 0)
    real = found[~found["synthetic"]]
    source = rows.set_index("row_id", drop=False).loc[real["row_id"]]
    pd.testing.assert_frame_equal(real[rows.columns].reset_index(drop=True), source.reset_index(drop=True))
    assert (real["neighbour_row_id"] == NO_NEIGHBOUR).all()


@named
def test_columns_and_types_stay_and_provenance_is_added(method, rows, schema):
    found = method.resample(rows, schema, "auto", 5, 0)
    assert list(found.columns) == [*rows.columns, "neighbour_row_id", "synthetic"]
    assert (found.dtypes[rows.columns] == rows.dtypes).all()
    assert found["neighbour_row_id"].dtype == "int64"
    assert found["synthetic"].dtype == bool


@named
def test_rows_without_weights_weigh_one(method, rows, schema):
    found = method.resample(rows.drop(columns="weight"), schema, "auto", 5, 0)
    assert (found["weight"] == 1).all()


@balancing
def test_same_seed_same_rows_and_another_seed_others(method, rows, schema):
    first, again, other = (method.resample(rows, schema, "auto", 5, seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_what_rehearses_keeps_every_row_of_today_and_of_the_memory_and_which_is_which(rows, schema):
    (method,) = (m for m in RESAMPLERS if m.rehearses)
    handed = rows.assign(rehearsed=[False] * (len(rows) - 7) + [True] * 7)
    found = method.resample(handed, schema, "auto", 5, 0)
    pd.testing.assert_frame_equal(found[handed.columns], handed)
    assert not found["synthetic"].any()


@named
def test_its_argument_is_not_changed(method, rows, schema):
    before = rows.copy()
    method.resample(rows, schema, "auto", 5, 0)
    pd.testing.assert_frame_equal(rows, before)


@named
def test_an_unknown_class_in_the_data_is_named(method, rows, schema):
    rows.loc[3, "default"] = "yess"
    with pytest.raises(InputError, match=r"'yess' is not a class\. Did you mean 'yes'"):
        method.resample(rows, schema, "auto", 5, 0)


def test_over_sampling_keeps_every_row_first_and_repeats_only_the_smaller_class(rows, schema):
    found = _method("random_over").resample(rows, schema, 0.5, 5, 0)
    assert found["row_id"].head(len(rows)).tolist() == rows["row_id"].tolist()
    assert (found["default"] == "yes").sum() == 50
    assert set(found["default"].tail(len(found) - len(rows))) == {"yes"}
    assert not found["synthetic"].any()


def test_under_sampling_to_a_ratio_drops_only_the_larger_class_and_keeps_the_order(rows, schema):
    found = _method("random_under").resample(rows, schema, 0.25, 5, 0)
    assert found["default"].value_counts().to_dict() == {"no": 80, "yes": 20}
    assert found["row_id"].is_monotonic_increasing
    assert found["row_id"].is_unique


def test_images_can_be_repeated_and_dropped_but_not_interpolated(schema):
    pixels = pd.DataFrame(
        {"row_id": range(6), "image": [bytes([i]) for i in range(6)], "default": ["no"] * 4 + ["yes"] * 2}
    )
    column = schema.columns[0].model_copy(update={"name": "image", "kind": "image"})
    images = schema.model_copy(update={"columns": (column, schema.columns[-1]), "sensitive": ()})
    for name, count in (("random_over", 8), ("random_under", 4)):
        found = _method(name).resample(pixels, images, "auto", 5, 0)
        assert len(found) == count
        assert [bytes([i]) for i in found["row_id"]] == found["image"].tolist()
    with pytest.raises(InputError, match=r"the data are images\. Choose random_over or random_under"):
        _method("smote").resample(pixels, images, "auto", 1, 0)


def _method(name):
    return next(m for m in RESAMPLERS if m.name == name)
