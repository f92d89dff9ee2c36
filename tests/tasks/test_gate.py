"""The gate stage: the champion scores the same rows, one that cannot is no reason to stop, and a leak is said."""

import json

import numpy as np
import pandas as pd
import pytest

from models.schema import Schema
from tasks import audit, evaluate
from tasks.gate import STAGE
from tasks.identity import sums
from tasks.learned import FILE as LEARNED
from tasks.learned import unlearned, write_learned
from tasks.parts import rows_of
from tasks.registry import CHAMPION, open_registry
from tasks.stage import read_json

RULES = [
    {"metric": "accuracy", "at_least": 0.6},
    {"metric": "equalized_odds_difference", "at_most": 0.5, "attribute": "age_group"},
    {"metric": "roc_auc", "worse_by_at_most": 0.05},
]


@pytest.fixture
def params(toy_params):
    return toy_params(gates={"rules": RULES}, registry={"name": "toy"})


@pytest.fixture
def root(trained_copy, params):
    copy = trained_copy()
    evaluate.STAGE.execute(params, copy)
    audit.STAGE.execute(params, copy)
    return copy


def register(root, tables=None, predictor=None, learned=None):
    """Make the model of a working copy the champion, as the stage 'register' does; `learned` has which rows it learned."""
    predictor = predictor or root / "data/train/predictor"
    registry = open_registry("file://registry", root)
    files = {f"predictor/{p.name}": p for p in predictor.iterdir()}
    tables = tables or {
        f"{name}.parquet": sums(root / f"data/{folder}/{name}.parquet")
        for name, folder in (("rows", "ingest"), ("split", "split"))
    }
    files["identity.json"] = json.dumps({"data": {"tables": tables}}).encode()
    if learned is not None:
        files[LEARNED] = learned / LEARNED
    published = registry.publish("toy", files, run=str((tables, learned and sums(learned / LEARNED))), summary={})
    registry.promote("toy", published.version, CHAMPION)
    return registry.load("toy").directory


def verdict_of(root, params):
    STAGE.execute(params, root)
    return read_json(root / "data/gate/verdict.json")


def test_the_first_model(root, params):
    found = verdict_of(root, params)
    assert (found["verdict"], found["first"], found["champion"]) == ("pass", True, None)
    assert [r["outcome"] for r in found["rules"]] == ["pass"] * 3
    assert found["rules"][2]["applies"] is False
    assert found["rules"][2]["difference"] is None
    assert "first model" in found["summary"]
    assert not (root / "registry").exists()


def test_figures_are_those_of_evaluate_and_audit(root, params):
    rules = verdict_of(root, params)["rules"]
    overall = read_json(root / "data/evaluate/evaluation.json")["overall"]
    gaps = read_json(root / "data/audit/audit.json")["attributes"]["age_group"]["gaps"]
    for rule, figure in ((rules[0], overall["accuracy"]), (rules[1], gaps["equalized_odds_difference"])):
        assert {k: rule[k] for k in ("value", "low", "high")} == {k: figure[k] for k in ("value", "low", "high")}
    assert {k: rules[2][k] for k in ("value", "low", "high")} == {
        k: overall["roc_auc"][k] for k in ("value", "low", "high")
    }
    assert rules[1]["attribute"] == "age_group"
    assert rules[1]["limit"] == 0.5
    assert rules[0]["rows"] == 800


def test_the_champion_is_scored_on_the_same_rows(root, params):
    register(root)
    found = verdict_of(root, params)
    assert found["first"] is False
    assert found["champion"] == {"version": "v1", "fits": True, "why": "", "note": "", "rows": 800}
    rule = found["rules"][2]
    assert (rule["outcome"], rule["difference"]) == ("pass", {"value": 0, "low": 0, "high": 0})
    assert rule["champion_value"] == rule["value"]


def test_a_worse_candidate_is_refused(root, params):
    register(root)
    path = root / "data/evaluate/predictions.parquet"
    table = pd.read_parquet(path)
    rng = np.random.default_rng(0)
    table["p_1"] = rng.permutation(table["p_1"])
    table["p_0"] = 1 - table["p_1"]
    table.to_parquet(path)
    found = verdict_of(root, params)
    assert found["verdict"] == "fail"
    rule = found["rules"][2]
    assert rule["outcome"] == "fail"
    assert rule["difference"]["high"] < -0.1
    assert rule["value"] + 0.2 < rule["champion_value"]


def test_classes_in_another_order_are_put_in_place(root, params, trained_copies):
    schema_path = root / "data/ingest/schema.json"
    schema = Schema.model_validate(read_json(schema_path))
    register(root)
    turned = schema.model_copy(update={"target": schema.target.model_copy(update={"classes": ("yes", "no")})})
    schema_path.write_text(turned.model_dump_json())
    path = root / "data/evaluate/predictions.parquet"
    table = pd.read_parquet(path)
    table["label"], table["decision"] = 1 - table["label"], 1 - table["decision"]
    table["p_0"], table["p_1"] = table["p_1"].copy(), table["p_0"].copy()
    table.to_parquet(path)
    rule = verdict_of(root, params)["rules"][2]
    assert rule["difference"] == {"value": 0, "low": 0, "high": 0}


def test_a_champion_of_other_classes_does_not_fit(root, params, trained_copies):
    other = trained_copies(("low", "middle", "high"))
    register(root, predictor=other / "data/train/predictor")
    found = verdict_of(root, params)
    assert found["champion"]["fits"] is False
    assert "low, middle, high" in found["champion"]["why"]
    assert found["rules"][2]["outcome"] == "insufficient evidence"
    assert found["verdict"] == "pass", "absolute rules still decide"


def test_a_champion_that_needs_a_column_that_is_gone_does_not_fit(root, params):
    register(root)
    rows = root / "data/ingest/rows.parquet"
    pd.read_parquet(rows).drop(columns="x").to_parquet(rows)
    found = verdict_of(root, params)
    assert found["champion"]["fits"] is False
    assert "'x'" in found["champion"]["why"] or " x" in found["champion"]["why"]
    assert found["rules"][2]["outcome"] == "insufficient evidence"


@pytest.mark.parametrize("damage", ["weights.safetensors", "predictor.json"])
def test_a_damaged_champion_is_said_and_judged_as_unfit(root, params, damage):
    directory = register(root)
    path = directory / "predictor" / damage
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-20])
    found = verdict_of(root, params)
    assert (found["champion"]["version"], found["champion"]["fits"]) == ("v1", False)
    assert found["champion"]["why"]
    assert found["rules"][2]["outcome"] == "insufficient evidence"


def test_a_champion_that_may_have_seen_the_test_rows_is_said_to(root, params):
    rows = sums(root / "data/ingest/rows.parquet")
    other = {"sha256": "0" * 64}
    register(root, tables={"rows.parquet": rows, "split.parquet": other})
    found = verdict_of(root, params)
    assert "another split of the same rows" in found["champion"]["note"]
    assert found["notes"] == [found["champion"]["note"]]
    assert found["champion"]["note"] in found["summary"]
    register(root, tables={"rows.parquet": other, "split.parquet": other})
    assert "other data" in verdict_of(root, params)["champion"]["note"]


def test_both_are_compared_on_the_test_rows_that_neither_has_learned(root, params, tmp_path):
    """The champion has learned half of the test rows by heart: those are not what it is compared on."""
    rows = pd.read_parquet(root / "data/ingest/rows.parquet")
    test = rows_of(rows, root / "data/split", "test")
    write_learned(tmp_path, test[:400], list(rows.columns.drop("row_id")), None)
    register(root, learned=tmp_path)
    path = root / "data/evaluate/predictions.parquet"
    table = pd.read_parquet(path)
    # Where the champion has learned the rows, the new model is worse than chance; elsewhere it is the champion.
    table.loc[:399, ["p_0", "p_1"]] = table.loc[:399, ["p_1", "p_0"]].to_numpy(copy=True)
    table.to_parquet(path)
    found = verdict_of(root, params)
    assert found["champion"]["rows"] == 400
    assert "Of the 800 test rows, 400 are left out of the comparison with the champion" in found["champion"]["note"]
    rule = found["rules"][2]
    assert (rule["outcome"], rule["difference"], rule["rows"]) == ("pass", {"value": 0, "low": 0, "high": 0}, 400)
    assert found["rules"][0]["rows"] == 800
    write_learned(tmp_path, test[:770], list(rows.columns.drop("row_id")), None)
    register(root, learned=tmp_path)
    found = verdict_of(root, params)
    assert found["rules"][2]["outcome"] == "insufficient evidence"
    assert "too few rows that the champion has not learned: 30 of 800" in found["rules"][2]["why"]
    assert (found["champion"]["fits"], found["champion"]["rows"]) == (False, 0)


def test_rows_that_both_learned_because_they_are_alike_are_compared_on(root, params):
    """Test rows that equal training rows by chance are as new to the one as to the other."""
    rows = pd.read_parquet(root / "data/ingest/rows.parquet")
    test = rows_of(rows, root / "data/split", "test")
    train = pd.concat([rows_of(rows, root / "data/split", "train"), test[:100]])
    learned = root / "data/train"
    write_learned(learned, train, list(rows.columns.drop("row_id")), None)
    for known, kept in ((train, 800), (train[:1200], 700)):
        assert unlearned(learned, learned, test, known).sum() == kept


def test_a_rule_on_an_unknown_attribute_names_the_nearest(root, toy_params):
    wrong = toy_params(
        sensitive="auto",
        gates={"rules": [{"metric": "equalized_odds_difference", "at_most": 0.5, "attribute": "age_grup"}]},
    )
    with pytest.raises(ValueError, match=r"'age_grup'.*'age_group'"):
        STAGE.execute(wrong, root)
    assert not (root / "data/gate/verdict.json").exists()


def test_the_same_inputs_give_the_same_bytes(root, params):
    register(root)
    path = root / "data/gate/verdict.json"
    first = (verdict_of(root, params), path.read_bytes())
    assert (verdict_of(root, params), path.read_bytes()) == first
