"""The audit stage: every declared group and intersection, with evidence, and gaps that name who was left out."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from models.metrics.names import BY_GROUP, OVERALL
from tasks import evaluate
from tasks.audit import STAGE
from tasks.stage import read_json


@pytest.fixture(params=[("no", "yes"), ("low", "middle", "high")], ids=["binary", "multiclass"])
def audited(request, trained_copy, toy_params):
    root = trained_copy(request.param)
    evaluate.STAGE.execute(toy_params(), root)
    STAGE.execute(toy_params(), root)
    return root, request.param


def test_no_declared_group_is_missing(audited):
    root, _ = audited
    found = read_json(root / "data/audit/audit.json")
    table = pd.read_parquet(root / "data/evaluate/predictions.parquet")
    assert list(found["attributes"]) == ["race", "age_group", "race & age_group"]
    for name in ("race", "age_group"):
        groups = found["attributes"][name]["groups"]
        assert {g: figures["rows"] for g, figures in groups.items()} == {
            g: int((table[name] == g).sum()) for g in groups
        }
    assert list(found["attributes"]["race"]["groups"]) == ["A", "B", "tiny", "nobody"]
    joint = found["attributes"]["race & age_group"]["groups"]
    assert len(joint) == 8
    assert sum(figures["rows"] for figures in joint.values()) == len(table)
    assert joint["A & young"]["rows"] == int(((table["race"] == "A") & (table["age_group"] == "young")).sum())


def test_small_groups_are_insufficient_evidence(audited):
    root, classes = audited
    groups = read_json(root / "data/audit/audit.json")["attributes"]["race"]["groups"]
    for name in ("tiny", "nobody"):
        assert groups[name]["evidence"] == "insufficient"
        assert "needs 50" in groups[name]["why"]
        assert {figure["value"] for figure in groups[name]["metrics"].values()} == {None}
        assert groups[name]["reliability"] == []
        assert sum(groups[name]["per_class"].values()) == groups[name]["rows"]
    assert 0 < groups["tiny"]["rows"] < 50
    assert groups["A"]["evidence"] == "sufficient"
    assert set(OVERALL) <= set(groups["A"]["metrics"])
    assert sum(point["rows"] for point in groups["A"]["reliability"]) == groups["A"]["rows"]
    if len(classes) == 2:
        assert groups["A"]["positives"] == groups["A"]["per_class"]["yes"]
        assert {"selection_rate", "true_positive_rate", "false_positive_rate", "precision"} <= set(
            groups["A"]["metrics"]
        )
    else:
        assert list(groups["A"]["by_class"]) == list(classes)
        assert groups["A"]["by_class"]["middle"]["true_positive_rate"]["value"] is not None


def test_gaps_name_the_groups_that_they_are_made_of(audited):
    root, classes = audited
    found = read_json(root / "data/audit/audit.json")
    table = pd.read_parquet(root / "data/evaluate/predictions.parquet")
    for name, gap in found["attributes"]["race"]["gaps"].items():
        assert gap["evidence"] == "partial", name
        assert gap["groups_used"] == ["A", "B"]
        assert gap["groups_insufficient"] == ["tiny", "nobody"]
        assert gap["rows"] == int(table["race"].isin(["A", "B"]).sum())
        assert gap["reasons"]["nobody"].startswith("0 rows")
        assert gap["low"] <= gap["value"] <= gap["high"]
        assert gap["low"] < gap["high"]
    assert {gap["evidence"] for gap in found["attributes"]["age_group"]["gaps"].values()} == {"sufficient"}
    gap = found["attributes"]["race"]["gaps"]["demographic_parity_difference"]
    compared = [1] if len(classes) == 2 else range(len(classes))
    rates = [[(table.loc[table["race"] == g, "decision"] == c).mean() for g in "AB"] for c in compared]
    assert gap["value"] == pytest.approx(max(np.ptp(r) for r in rates), abs=1e-5)


def test_the_worst_attribute_and_flat_metrics(audited):
    root, _ = audited
    found = read_json(root / "data/audit/audit.json")
    assert tuple(found["worst"]) == BY_GROUP
    for name, figure in found["worst"].items():
        values = {a: found["attributes"][a]["gaps"][name]["value"] for a in ("race", "age_group")}
        lower_is_worse = name.endswith(("ratio", "accuracy"))
        assert figure["attribute"] == (min if lower_is_worse else max)(values, key=lambda a: values[a])
        assert figure["value"] == values[figure["attribute"]]
    metrics = read_json(root / "data/audit/metrics.json")
    assert list(metrics) == ["race", "age_group"]
    assert all(math.isfinite(value) for part in metrics.values() for value in part.values())


def test_intersections_can_be_left_out(trained_copy, toy_params):
    root = trained_copy()
    params = toy_params(evaluate={"bootstrap": 50, "intersections": False})
    evaluate.STAGE.execute(params, root)
    STAGE.execute(params, root)
    found = read_json(root / "data/audit/audit.json")
    assert list(found["attributes"]) == ["race", "age_group"]
    assert found["intersections"] is False


def test_data_without_sensitive_attributes(trained_copy, toy_params):
    root = trained_copy()
    schema = read_json(root / "data/ingest/schema.json")
    (root / "data/ingest/schema.json").write_text(json.dumps({**schema, "sensitive": []}))
    evaluate.STAGE.execute(toy_params(), root)
    STAGE.execute(toy_params(), root)
    found = read_json(root / "data/audit/audit.json")
    assert (found["attributes"], found["worst"], found["intersections"]) == ({}, {}, False)
    assert read_json(root / "data/audit/metrics.json") == {}
