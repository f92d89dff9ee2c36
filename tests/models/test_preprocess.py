"""Encoding: fitted on training rows only, robust to what production sends, saved as JSON without loss."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from models.errors import InputError
from models.preprocess import KNOTS, Preprocessor, load_preprocessor
from models.schema import Attribute, Column, Schema, Target

SCHEMA = Schema(
    dataset="toy",
    columns=(
        Column(name="income", kind="numeric", role="feature"),
        Column(name="grade", kind="ordinal", role="feature", categories=("low", "mid", "high")),
        Column(name="opened", kind="date", role="feature"),
        Column(name="purpose", kind="categorical", role="feature", categories=("car", "home", "boat")),
        Column(name="sex", kind="categorical", role="sensitive", categories=("F", "M")),
        Column(name="age_group", kind="categorical", role="sensitive", feature=False),
        Column(name="id", kind="identifier", role="dropped", feature=False),
        Column(name="y", kind="categorical", role="target", feature=False),
    ),
    target=Target(column="y", kind="binary", classes=("no", "yes")),
    sensitive=(
        Attribute(name="sex", groups=("F", "M")),
        Attribute(name="age_group", groups=("old", "young", "missing")),
    ),
)


def rows(count=2000, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "income": rng.lognormal(10, 1, count),
            "grade": rng.choice(["low", "mid", "high"], count),
            "opened": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 500, count), unit="D"),
            "purpose": rng.choice(["car", "home"], count),
            "sex": rng.choice(["F", "M"], count),
            "age_group": rng.choice(["old", "young"], count),
            "y": rng.choice(["no", "yes"], count),
            "row_id": np.arange(count),
        }
    )
    frame.loc[::7, "income"] = np.nan
    return frame


def test_numeric_columns_become_about_standard_normal():
    fitted = Preprocessor.fit(rows(), SCHEMA, False)
    encoded = fitted.encode(rows(20000, 1)).numeric
    income = encoded[:, 0][encoded[:, 1] == 0]
    assert abs(income.mean()) < 0.05
    assert income.std() == pytest.approx(1, abs=0.05)
    assert len(fitted.numeric[0].values) <= KNOTS


def test_missing_values_are_zero_with_an_indicator_where_training_had_some():
    encoded = Preprocessor.fit(rows(), SCHEMA, False).encode(rows())
    missing = torch.tensor(rows()["income"].isna().to_numpy())
    assert torch.equal(encoded.numeric[:, 1] == 1, missing)
    assert (encoded.numeric[:, 0][missing] == 0).all()
    assert encoded.numeric.shape[1] == 4


def test_order_is_kept_by_numeric_ordinal_and_date_columns():
    fitted = Preprocessor.fit(rows(), SCHEMA, False)
    frame = rows(3)
    frame["income"], frame["grade"] = [1.0, 30000.0, 1e9], ["low", "mid", "high"]
    frame["opened"] = pd.to_datetime(["1990-01-01", "2020-06-01", "2030-01-01"])
    encoded = fitted.encode(frame).numeric
    for column in (0, 2, 3):
        assert encoded[0, column] < encoded[1, column] < encoded[2, column]
    assert torch.isfinite(encoded).all()


def test_unseen_and_missing_categories_are_zero():
    fitted = Preprocessor.fit(rows(), SCHEMA, False)
    frame = rows(3)
    frame["purpose"] = ["car", "spaceship", None]
    assert fitted.encode(frame).categorical[:, 0].tolist() == [1, 0, 0]
    assert fitted.inputs.cardinalities == (3,)


def test_sensitive_attributes_are_features_only_on_request():
    assert "sex" not in Preprocessor.fit(rows(), SCHEMA, False).columns
    asked = Preprocessor.fit(rows(), SCHEMA, True).columns
    assert "sex" in asked
    assert "age_group" not in asked
    assert "id" not in asked


def test_groups_are_the_intersection_of_all_attributes():
    frame = rows(4)
    frame["sex"], frame["age_group"] = ["F", "F", "M", "M"], ["old", "missing", "old", "young"]
    fitted = Preprocessor.fit(rows(), SCHEMA, False)
    assert fitted.group_count == 6
    assert fitted.encode(frame).groups.tolist() == [0, 2, 3, 4]


def test_it_survives_json_exactly():
    fitted = Preprocessor.fit(rows(), SCHEMA, True)
    again = load_preprocessor(json.loads(json.dumps(fitted.model_dump(mode="json"))))
    for a, b in zip(vars(fitted.encode(rows())).values(), vars(again.encode(rows())).values(), strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_it_is_fitted_on_what_it_is_given_alone():
    first = Preprocessor.fit(rows(), SCHEMA, False)
    first.encode(rows(500, 9))
    assert first == Preprocessor.fit(rows(), SCHEMA, False)


def test_a_missing_column_is_named_with_its_nearest():
    with pytest.raises(InputError, match=r"columns are missing: income.*Did you mean 'incom'"):
        Preprocessor.fit(rows(), SCHEMA, False).encode(rows().rename(columns={"income": "incom"}))


def test_words_in_a_numeric_column_are_named():
    frame = rows()
    frame["income"] = frame["income"].astype(object)
    frame.loc[3, "income"] = "plenty"
    with pytest.raises(InputError, match="'income': it must be numeric"):
        Preprocessor.fit(rows(), SCHEMA, False).encode(frame)


def test_an_unknown_class_is_named():
    frame = rows()
    frame.loc[5, "y"] = "maybe"
    with pytest.raises(InputError, match="'maybe' is not a class"):
        Preprocessor.fit(rows(), SCHEMA, False).encode(frame)


def png(value, size=(6, 5), mode="L"):
    buffer = io.BytesIO()
    Image.new(mode, size, value).save(buffer, "PNG")
    return buffer.getvalue()


IMAGES = Schema(
    dataset="pictures",
    columns=(
        Column(name="image", kind="image", role="feature"),
        Column(name="y", kind="categorical", role="target", feature=False),
    ),
    target=Target(column="y", kind="binary", classes=("a", "b")),
)


def test_images_are_bytes_with_the_training_mean():
    frame = pd.DataFrame({"image": [png(0), png(255)], "y": ["a", "b"]})
    fitted = Preprocessor.fit(frame, IMAGES, False)
    encoded = fitted.encode(frame)
    assert encoded.numeric.shape == (2, 1, 5, 6)
    assert encoded.numeric.dtype == torch.uint8
    assert fitted.inputs.mean == (0.5,)
    assert fitted.inputs.image == (1, 5, 6)
    assert fitted.group_count == 1


def test_broken_and_odd_sized_images_are_named_by_row():
    fitted = Preprocessor.fit(pd.DataFrame({"image": [png(0), png(9)], "y": ["a", "b"]}), IMAGES, False)
    with pytest.raises(InputError, match="row 1: not a readable image"):
        fitted.encode(pd.DataFrame({"image": [png(0), b"no picture"]}))
    with pytest.raises(InputError, match="row 1: the image is 7x7, the others are 5x6"):
        fitted.encode(pd.DataFrame({"image": [png(0), png(0, (7, 7))]}))
