"""SMOTE against its formula, against imbalanced-learn's own output, and on columns of every kind."""

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTE as ReferenceSMOTE
from imblearn.over_sampling import SMOTENC as ReferenceSMOTENC
from sklearn.preprocessing import StandardScaler

from models.balancing.recorded_smote import RecordedSMOTE, RecordedSMOTENC, majority
from models.balancing.resample.smote import smote
from models.errors import InputError
from models.schema import Column, Schema, Target


def numeric_schema(names: list[str], classes: tuple[str, ...] = ("no", "yes")) -> Schema:
    columns = [Column(name=n, kind="numeric", role="feature") for n in names]
    target = Column(name="y", kind="categorical", role="target", feature=False, categories=classes)
    kind = "binary" if len(classes) == 2 else "multiclass"
    return Schema(dataset="d", columns=(*columns, target), target=Target(column="y", kind=kind, classes=classes))


def numeric_rows(count: int = 200, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    table = pd.DataFrame(
        {"row_id": np.arange(count), "a": random.normal(3, 5, count), "b": random.lognormal(0, 2, count)}
    )
    return table.assign(y=np.where(random.random(count) < 0.2, "yes", "no"))


def test_by_hand_between_two_rows():
    rows = pd.DataFrame(
        {"row_id": [10, 11, 12, 13, 14, 15], "a": [0.5, 1.5, 7.5, 8.5, 9.5, 5.5], "b": [0.25, 2.25, 9, 9, 9, 9]}
    ).assign(y=["yes", "yes", "no", "no", "no", "no"])
    found = smote(rows, numeric_schema(["a", "b"]), "auto", 1, 0)
    made = found[found["synthetic"]]
    assert len(made) == 2
    for _, row in made.iterrows():
        assert {row["row_id"], row["neighbour_row_id"]} == {10, 11}
        share = row["a"] - 0.5
        assert 0 <= share < 1
        assert row["b"] == pytest.approx(0.25 + 2 * share)


def test_synthetic_rows_lie_between_parent_and_neighbour_of_their_class():
    rows = numeric_rows()
    found = smote(rows, numeric_schema(["a", "b"]), "auto", 5, 1)
    made, source = found[found["synthetic"]], rows.set_index("row_id")
    parents, others = source.loc[made["row_id"]], source.loc[made["neighbour_row_id"]]
    assert (parents["y"].to_numpy() == made["y"].to_numpy()).all()
    assert (others["y"].to_numpy() == made["y"].to_numpy()).all()
    shares = [
        (made[c].to_numpy() - parents[c].to_numpy()) / (others[c].to_numpy() - parents[c].to_numpy()) for c in "ab"
    ]
    np.testing.assert_allclose(shares[0], shares[1], rtol=1e-6, atol=1e-9)
    assert ((shares[0] >= 0) & (shares[0] < 1)).all()


def test_the_neighbour_is_one_of_the_nearest_in_standardized_space():
    rows = numeric_rows()
    found = smote(rows, numeric_schema(["a", "b"]), "auto", 3, 1)
    made = found[found["synthetic"]]
    scaled = StandardScaler().fit_transform(rows[["a", "b"]])
    members = np.flatnonzero(rows["y"] == "yes")
    for _, row in made.iterrows():
        distances = np.linalg.norm(scaled[members] - scaled[row["row_id"]], axis=1)
        assert row["neighbour_row_id"] in members[np.argsort(distances)[1:4]]


def test_numeric_rows_are_those_of_imbalanced_learn():
    rows = numeric_rows()
    scaler = StandardScaler().fit(rows[["a", "b"]])
    expected, labels = ReferenceSMOTE(random_state=7).fit_resample(scaler.transform(rows[["a", "b"]]), rows["y"])
    found = smote(rows, numeric_schema(["a", "b"]), "auto", 5, 7)
    assert found["y"].tolist() == labels.tolist()
    np.testing.assert_allclose(found[["a", "b"]], scaler.inverse_transform(expected), rtol=1e-9, atol=1e-9)


def test_several_classes_are_those_of_imbalanced_learn():
    rows = numeric_rows(300).assign(y=np.random.default_rng(2).choice(["a", "b", "c"], 300, p=[0.7, 0.2, 0.1]))
    scaler = StandardScaler().fit(rows[["a", "b"]])
    expected, labels = ReferenceSMOTE(random_state=7).fit_resample(scaler.transform(rows[["a", "b"]]), rows["y"])
    found = smote(rows, numeric_schema(["a", "b"], ("a", "b", "c")), "auto", 5, 7)
    assert found["y"].tolist() == labels.tolist()
    np.testing.assert_allclose(found[["a", "b"]], scaler.inverse_transform(expected), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("spread", [1.0, 0.0], ids=["spread", "constant numbers"])
@pytest.mark.parametrize("classes", [2, 3])
def test_mixed_rows_are_those_of_imbalanced_learn(spread, classes):
    random = np.random.default_rng(3)
    labels = random.choice(classes, 300, p=[0.8, 0.2] if classes == 2 else [0.7, 0.2, 0.1])
    data = np.concatenate([random.normal(0, spread, (300, 2)), random.integers(0, 4, (300, 3))], 1)
    settings = {"categorical_features": [2, 3, 4], "random_state": 5, "k_neighbors": 4}
    expected, expected_labels = ReferenceSMOTENC(**settings).fit_resample(data, labels)
    sampler = RecordedSMOTENC(**settings)
    found, found_labels = sampler.fit_resample(data, labels)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found_labels, expected_labels)
    parents = np.concatenate([d.parents for d in sampler.drawn_])
    voted = np.concatenate([d.categories for d in sampler.drawn_])
    np.testing.assert_array_equal(voted, expected[300:, 2:])
    np.testing.assert_array_equal(labels[parents], expected_labels[300:])


def test_votes_counted_in_pieces_are_the_same(monkeypatch):
    votes = np.random.default_rng(0).integers(0, 6, (500, 5))
    whole = majority(votes, 6, np.random.RandomState(1))
    monkeypatch.setattr("models.balancing.recorded_smote.CELLS", 40)
    np.testing.assert_array_equal(majority(votes, 6, np.random.RandomState(1)), whole)
    counts = np.stack([np.bincount(v, minlength=6) for v in votes])
    assert (counts[np.arange(500), whole] == counts.max(1)).all()


def test_recording_does_not_change_what_is_drawn():
    data, labels = numeric_rows()[["a", "b"]].to_numpy(), (numeric_rows()["y"] == "yes").to_numpy()
    expected, _ = ReferenceSMOTE(random_state=0).fit_resample(data, labels)
    sampler = RecordedSMOTE(random_state=0)
    found, _ = sampler.fit_resample(data, labels)
    np.testing.assert_array_equal(found, expected)
    (drawn,) = sampler.drawn_
    rebuilt = data[drawn.parents] + drawn.shares[:, None] * (data[drawn.neighbours] - data[drawn.parents])
    np.testing.assert_allclose(rebuilt, found[len(data) :])


def test_columns_of_every_kind_stay_possible_values(rows, schema):
    found = smote(rows, schema, "auto", 3, 0)
    made, source = found[found["synthetic"]].reset_index(drop=True), rows.set_index("row_id")
    parents, others = (source.loc[made[c]].reset_index(drop=True) for c in ("row_id", "neighbour_row_id"))
    whole = made["children"]
    assert (whole == whole.round()).all()
    assert whole.between(
        parents["children"].clip(upper=others["children"]), parents["children"].clip(lower=others["children"])
    ).all()
    assert set(made["grade"].dropna()) <= {"low", "middle", "high"}
    assert set(made["city"].dropna()) <= {"Bern", "Oslo", "Rome"}
    assert (made["opened"] == made["opened"].dt.normalize()).all()
    earlier, later = np.minimum(parents["opened"], others["opened"]), np.maximum(parents["opened"], others["opened"])
    assert made["opened"].between(earlier, later).all()


def test_missing_stays_missing_with_the_parent_and_a_neighbour_without_value_changes_nothing(rows, schema):
    found = smote(rows, schema, "auto", 3, 0)
    made, source = found[found["synthetic"]].reset_index(drop=True), rows.set_index("row_id")
    parents, others = (source.loc[made[c]].reset_index(drop=True) for c in ("row_id", "neighbour_row_id"))
    for column in ("income", "grade"):
        assert (made[column].isna() == parents[column].isna()).all()
        alone = parents[column].notna() & others[column].isna()
        assert (made.loc[alone, column] == parents.loc[alone, column]).all()
    assert parents["income"].isna().any()


def test_sensitive_attributes_weights_and_identifiers_do_not_shape_a_synthetic_row(rows, schema):
    features = ["income", "children", "grade", "opened", "city", "row_id", "neighbour_row_id"]
    random = np.random.default_rng(9)
    shuffled = rows.assign(
        group=random.permutation(rows["group"]),
        weight=random.permutation(rows["weight"]),
        account=random.permutation(rows["account"]),
    )
    first, second = (smote(table, schema, "auto", 3, 0) for table in (rows, shuffled))
    pd.testing.assert_frame_equal(first[features], second[features])


def test_the_column_of_time_and_an_empty_column_do_not_shape_it_either(rows, schema):
    timed = schema.model_copy(update={"time": "opened"})
    found = smote(rows.assign(income=np.nan), timed, "auto", 3, 0)
    made = found[found["synthetic"]]
    assert made["income"].isna().all()
    parents = rows.set_index("row_id").loc[made["row_id"], "opened"]
    assert (made["opened"].to_numpy() == parents.to_numpy()).all()


def test_dates_with_hours_and_a_time_zone_come_back_as_such(rows, schema):
    zoned = rows.assign(opened=(rows["opened"] + pd.Timedelta(hours=5, seconds=7)).dt.tz_localize("Europe/Rome"))
    found = smote(zoned, schema, "auto", 3, 0)
    assert found["opened"].dtype == zoned["opened"].dtype
    made, source = found[found["synthetic"]].reset_index(drop=True), zoned.set_index("row_id")["opened"]
    parents, others = (source.loc[made[c]].reset_index(drop=True) for c in ("row_id", "neighbour_row_id"))
    assert made["opened"].between(np.minimum(parents, others), np.maximum(parents, others)).all()
    assert (made["opened"] == made["opened"].dt.floor("s")).all()


def test_a_class_too_small_for_its_neighbours_is_named_with_its_rows(rows, schema):
    few = pd.concat([rows[rows["default"] == "no"], rows[rows["default"] == "yes"].head(4)])
    with pytest.raises(InputError, match=r"class 'yes' has 4 training rows, too few for 5 neighbours.*at most 3"):
        smote(few, schema, "auto", 5, 0)
    assert smote(few, schema, "auto", 3, 0)["synthetic"].sum() == 96
    with pytest.raises(InputError, match=r"class 'yes' has 1 training rows.*Choose random_over"):
        smote(pd.concat([few.head(100), few.tail(1)]), schema, "auto", 5, 0)


def test_a_small_class_that_need_not_grow_needs_no_neighbours():
    rows = numeric_rows(60).assign(y=["a"] * 40 + ["b"] * 17 + ["c"] * 3)
    found = smote(rows, numeric_schema(["a", "b"], ("a", "b", "c")), {"b": 30}, 5, 0)
    assert found["y"].value_counts().to_dict() == {"a": 40, "b": 30, "c": 3}


def test_a_table_of_categories_only_is_refused(rows, schema):
    only = schema.model_copy(update={"columns": tuple(c for c in schema.columns if c.kind == "categorical")})
    with pytest.raises(InputError, match="no feature is numeric"):
        smote(rows, only, "auto", 5, 0)
