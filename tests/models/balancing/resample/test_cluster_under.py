"""Cluster-based under-sampling: which rows stand for the others, and what it refuses."""

import numpy as np
import pandas as pd
import pytest

from models.balancing.resample.cluster_under import cluster_under, kept_rows, middle_rows
from models.balancing.resample.feature_space import FeatureSpace
from models.errors import InputError


def test_a_cluster_keeps_the_row_nearest_to_its_centre():
    points = np.array([[0.0, 0.0], [1.0, 0.0], [2.2, 0.0], [50.0, 1.0], [50.0, 2.1], [50.0, 3.0]])
    assert middle_rows(points, 2, 0).tolist() == [1, 4]
    assert middle_rows(points, 6, 0).tolist() == [0, 1, 2, 3, 4, 5]
    assert middle_rows(points, 0, 0).tolist() == []
    assert len(middle_rows(np.zeros((5, 2)), 3, 0)) == 3


def test_clusters_keep_rows_by_their_size_and_one_at_least():
    assert kept_rows(np.array([61, 31, 1]), 12).tolist() == [7, 4, 1]
    assert kept_rows(np.array([4, 2]), 6).tolist() == [4, 2]
    assert kept_rows(np.array([9, 9]), 2).tolist() == [1, 1]


def test_every_mode_of_the_frequent_class_is_kept(schema):
    income = np.r_[np.zeros(90), np.full(6, 1000.0), np.full(4, -1000.0), np.linspace(-1, 1, 6)]
    rows = pd.DataFrame(
        {"row_id": np.arange(106), "income": income, "group": "A", "default": ["no"] * 100 + ["yes"] * 6}
    )
    columns = [c for c in schema.columns if c.name in ("income", "group", "default")]
    found = cluster_under(rows, schema.model_copy(update={"columns": tuple(columns)}), "auto", 0)
    assert found["default"].value_counts().to_dict() == {"no": 6, "yes": 6}
    assert set(found["income"]) >= {0.0, 1000.0, -1000.0}


def test_two_rows_that_differ_in_one_category_are_one_apart(rows, schema):
    rows = rows.iloc[[0, 0]].reset_index(drop=True)
    rows["city"] = ["Bern", None]
    points = FeatureSpace.of(rows, schema).points()
    assert np.linalg.norm(points[0] - points[1]) == pytest.approx(1.0)


def test_images_are_refused(schema):
    image = schema.columns[0].model_copy(update={"name": "image", "kind": "image"})
    images = schema.model_copy(update={"columns": (image, schema.columns[-1]), "sensitive": ()})
    with pytest.raises(InputError, match=r"the data are images\. Choose random_under"):
        cluster_under(pd.DataFrame({"default": ["no", "yes"]}), images, "auto", 0)
