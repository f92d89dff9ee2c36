"""The evaluate stage: test rows scored once, and every figure with its interval and counts."""

import json

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics

from models.errors import InputError
from models.metrics.names import OVERALL
from models.predictor import Predictor
from models.schema import Attribute, Schema
from tasks import audit
from tasks.evaluate import STAGE
from tasks.stage import read_json, write_json

CLASSES = [("no", "yes"), ("low", "middle", "high")]


@pytest.fixture(params=CLASSES, ids=["binary", "multiclass"])
def evaluated(request, trained_copy, toy_params):
    root = trained_copy(request.param)
    STAGE.execute(toy_params(), root)
    return root, request.param


def test_predictions_are_of_the_test_rows_in_order(evaluated):
    root, classes = evaluated
    found = pd.read_parquet(root / "data/evaluate/predictions.parquet")
    assert list(found) == ["row_id", "label", "decision", *(f"p_{c}" for c in range(len(classes))), "race", "age_group"]
    assert found["row_id"].tolist() == list(range(1600, 2400))
    rows = pd.read_parquet(root / "data/ingest/rows.parquet").iloc[1600:]
    assert (np.array(classes)[found["label"]] == rows["y"].to_numpy()).all()
    assert (found["race"].to_numpy() == rows["race"].to_numpy()).all()
    scored = Predictor.load(root / "data/train/predictor").predict_frame(rows)
    assert (np.array(classes)[found["decision"]] == scored["decision"].to_numpy()).all()
    np.testing.assert_array_equal(found[f"p_{len(classes) - 1}"], scored[f"p_{classes[-1]}"])


def test_figures_come_with_intervals_and_counts(evaluated):
    root, classes = evaluated
    found = read_json(root / "data/evaluate/evaluation.json")
    table = pd.read_parquet(root / "data/evaluate/predictions.parquet")
    assert tuple(found["overall"]) == OVERALL
    per_class = table["label"].value_counts().sort_index().tolist()
    for name, figure in found["overall"].items():
        assert figure["low"] <= figure["value"] <= figure["high"], name
        assert figure["rows"] == 800
        assert figure["per_class"] == dict(zip(classes, per_class, strict=True))
    balanced = sklearn.metrics.balanced_accuracy_score(table["label"], table["decision"])
    assert found["overall"]["balanced_accuracy"]["value"] == pytest.approx(balanced, abs=1e-6)
    assert found["confusion"] == sklearn.metrics.confusion_matrix(table["label"], table["decision"]).tolist()
    assert list(found["by_class"]) == list(classes)
    recalls = sklearn.metrics.recall_score(table["label"], table["decision"], average=None)
    for name, count, recall in zip(classes, per_class, recalls, strict=True):
        assert found["by_class"][name]["rows"] == count
        assert found["by_class"][name]["recall"]["value"] == pytest.approx(recall, abs=1e-6)
    assert [s["seed"] for s in found["seeds"]] == [1, 2, 3]
    assert (found["rows"], found["confidence"], found["bootstrap"]) == (800, 0.95, 100)


def test_metrics_are_flat_numbers_and_curves_are_points(evaluated):
    root, _ = evaluated
    metrics = read_json(root / "data/evaluate/metrics.json")
    assert set(metrics) == set(OVERALL)
    assert all(isinstance(value, float) for value in metrics.values())
    for name, axes in (
        ("roc", ["false_positive_rate", "true_positive_rate"]),
        ("precision_recall", ["recall", "precision"]),
    ):
        points = read_json(root / f"data/evaluate/{name}.json")
        assert 20 < len(points) <= 250
        assert all(0 <= p[axis] <= 1 for p in points for axis in axes)
        steps = [p[axes[0]] for p in points]
        assert steps == sorted(steps)
    reliability = read_json(root / "data/evaluate/reliability.json")
    assert sum(p["rows"] for p in reliability) == 800


def test_the_points_of_the_roc_curve_enclose_its_area(evaluated):
    root, _ = evaluated
    points = read_json(root / "data/evaluate/roc.json")
    area = np.trapezoid([p["true_positive_rate"] for p in points], [p["false_positive_rate"] for p in points])
    assert area == pytest.approx(read_json(root / "data/evaluate/metrics.json")["roc_auc"], abs=0.01)


def test_the_same_inputs_give_the_same_bytes(trained_copy, toy_params):
    root = trained_copy()
    written = []
    for _ in range(2):
        STAGE.execute(toy_params(), root)
        audit.STAGE.execute(toy_params(), root)
        written.append({p: p.read_bytes() for f in ("evaluate", "audit") for p in (root / "data" / f).iterdir()})
    assert written[0] == written[1]
    assert len(written[0]) == 9


def test_a_class_without_test_rows_is_not_a_number(trained_copy, toy_params):
    root = trained_copy()
    rows = pd.read_parquet(root / "data/ingest/rows.parquet")
    split = pd.read_parquet(root / "data/split/split.parquet")
    split.loc[(split["part"] == "test") & (rows["y"] == "yes"), "part"] = "train"
    split.to_parquet(root / "data/split/split.parquet")
    STAGE.execute(toy_params(), root)
    found = read_json(root / "data/evaluate/evaluation.json")
    assert found["overall"]["balanced_accuracy"]["value"] is None
    assert "0 rows of class 'yes'" in found["overall"]["balanced_accuracy"]["note"]
    metrics = read_json(root / "data/evaluate/metrics.json")
    assert "balanced_accuracy" not in metrics
    assert "accuracy" in metrics
    assert read_json(root / "data/evaluate/roc.json") == []


def test_an_attribute_that_would_overwrite_a_column_is_refused(trained_copy, toy_params):
    root = trained_copy()
    schema = Schema.model_validate(json.loads((root / "data/ingest/schema.json").read_text()))
    clash = schema.model_copy(update={"sensitive": (Attribute(name="label", groups=("A", "B")),)})
    write_json(root / "data/ingest/schema.json", clash.model_dump(mode="json"))
    with pytest.raises(InputError, match="'label'"):
        STAGE.execute(toy_params(), root)
    assert not list((root / "data/evaluate").iterdir())
