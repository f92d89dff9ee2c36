"""The monitor: silent while rows stay as they were, and right about what to do when they, the labels or the champion change."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.errors import InputError
from models.metrics.figures import Terms
from models.metrics.profile import profile_of
from models.metrics.scored import Scored
from models.targets import strata_ids
from tasks.evaluate import evaluate
from tasks.monitor import Watched, decided, examine, overall_action, previous_of, watched
from tasks.monitoring.page import render
from tasks.monitoring.partitions import Partition, by_month, partition_of, partitions, read_labels
from tasks.monitoring.seen import EXIT_CODES
from tasks.monitoring.watch import Look, watch
from tasks.params import Monitor
from tasks.registry import open_registry
from tasks.serving.log import PredictionLog
from tests.s3_server import BUCKET, moto_server

TERMS = Terms(draws=100)
SECRET = "hunter2-planted"


def reference_of(predictor, rows: pd.DataFrame) -> tuple[dict, dict]:
    """Profile and evaluation of test rows, as JSON."""
    schema = predictor.schema
    decisions, probabilities = predictor.predict(rows)
    scored = Scored.of(strata_ids(rows, schema.target), decisions, probabilities)
    profile = profile_of(rows, schema, decisions, probabilities)
    return profile.model_dump(mode="json"), evaluate(scored, schema.target.classes, TERMS)


@pytest.fixture(scope="module")
def champion(registered, loans) -> Watched:
    profile, evaluation = reference_of(registered.predictor, loans(3000, 100))
    made = profile_of(loans(3000, 100), registered.predictor.schema, *registered.predictor.predict(loans(3000, 100)))
    assert made.model_dump(mode="json") == profile
    return Watched("toy@v1", registered.predictor, made, evaluation)


def look(champion: Watched, rows: pd.DataFrame, previous=None, **policy):
    policy = {"psi": 0.05, **policy}
    return examine(champion, partition_of("later", rows, champion.predictor), Monitor(**policy), TERMS, previous)


def test_rows_like_those_before_ask_for_nothing_with_and_without_labels(champion, loans):
    for seed in range(5):
        rows = loans(1500, 200 + seed)
        assert look(champion, rows)["action"] == "none"
        without = look(champion, rows.drop(columns=["default"]))
        assert (without["action"], without["labelled"]) == ("none", 0)


def test_a_drift_of_a_feature_asks_for_a_retraining_and_is_named(champion, loans):
    rows = loans(1500, 300)
    found = look(champion, rows.assign(code=np.where(np.arange(1500) % 5 == 0, "1", "2")).drop(columns="default"))
    assert found["action"] == "retrain"
    assert found["reasons"][0].startswith("drift of features: code (stability index")
    others = [d for d in found["features"] if d["column"] != "code"]
    assert all(d["adjusted"] > 0.01 for d in others)
    assert look(champion, rows.assign(code="1"), psi=100)["action"] == "none"


def test_later_rows_are_judged_by_the_f_beta_that_the_champion_was_judged_by(champion, loans):
    part = partition_of("later", loans(1500, 250), champion.predictor)
    policy = Monitor(metric="f_beta", psi=0.05)
    first, other = (examine(champion, part, policy, replace(TERMS, beta=beta)) for beta in (2.0, 0.5))
    assert first == other, "whatever the parameters have come to say"
    assert first["reference"]["f_beta"] == champion.evaluation["overall"]["f_beta"]["value"]


def test_a_metric_that_the_champion_was_never_judged_by_is_named_where_labels_ask_for_it(champion, loans):
    overall = {k: v for k, v in champion.evaluation["overall"].items() if k != "mcc"}
    older = replace(champion, evaluation={**champion.evaluation, "overall": overall})
    rows = loans(300, 260)
    with pytest.raises(InputError, match=r"monitor.metric: toy@v1 was registered before mcc .* Retrain, or set"):
        look(older, rows, metric="mcc")
    assert look(older, rows.drop(columns="default"), metric="mcc")["action"] == "none"
    assert look(older, rows[:199], metric="mcc")["note"]


def test_labels_that_turn_ask_for_a_retraining_although_no_row_looks_different(champion, loans):
    rows = loans(1500, 400)
    turned = rows.assign(default=np.where(rows["default"] == "yes", "no", "yes"))
    found = look(champion, turned)
    assert found["action"] == "retrain"
    assert not any(r.startswith("drift") for r in found["reasons"])
    assert found["reasons"][0].startswith("balanced_accuracy is 0.")
    assert any(r.startswith("calibration error is") for r in found["reasons"])
    assert set(found["groups_performance"]["attributes"]["sex"]["groups"]) == {"F", "M"}
    # Without the labels nobody could know.
    assert look(champion, turned.drop(columns="default"))["action"] == "none"


def test_the_version_before_comes_back_if_it_is_better_on_the_same_rows(champion, loans, registered):
    rows = loans(1500, 500)
    turned = rows.assign(default=np.where(rows["default"] == "yes", "no", "yes"))

    class Opposite:
        def predict(self, some):
            decisions, probabilities = registered.predictor.predict(some)
            return 1 - decisions, probabilities[:, ::-1]

    found = look(champion, turned, previous=("toy@v0", Opposite()))
    assert found["action"] == "roll back"
    assert found["reasons"][0].startswith("toy@v0 is better on the same rows: balanced_accuracy by")
    assert look(champion, rows, previous=("toy@v0", Opposite()))["action"] == "none"
    assert look(champion, rows, previous=("toy@v0", registered.predictor))["previous"]["value"] == 0


def test_only_from_the_present_champion_can_be_rolled_back(registered, tmp_path):
    shutil.copytree(Path(registered.url.removeprefix("file://")), tmp_path / "registry")
    registry = open_registry("file://registry", tmp_path)
    assert previous_of(registry, "toy@v1") is None
    registry.promote("toy", "v2")
    before = previous_of(registry, "toy@v2")
    assert before is not None
    assert before[0] == "toy@v1"
    assert previous_of(registry, "toy@v1") is None


def test_few_rows_are_not_judged_and_the_last_that_are_decide(champion, loans):
    few = look(champion, loans(50, 1).assign(code="1"))
    assert (few["action"], few["reasons"]) == ("none", [])
    assert "50 rows are too few" in few["note"]
    bad = look(champion, loans(1500, 300).assign(code="1"))
    assert overall_action([bad, few]) == "retrain"
    assert overall_action([bad, look(champion, loans(1500, 301))]) == "none"
    assert overall_action([]) == "none"
    assert EXIT_CODES == {"none": 0, "retrain": 4, "roll back": 5}


def test_the_estimate_alone_can_ask_for_a_retraining(champion, loans):
    found = look(champion, loans(1500, 600).drop(columns="default"))
    found["estimated"]["balanced_accuracy"] = {"value": 0.5, "low": 0.48, "high": 0.52}
    again = decided(found, Monitor(psi=0.05))
    assert again["reasons"][-1].startswith("balanced_accuracy is estimated to be 0.500")


def test_partitions_come_from_files_patterns_and_prediction_logs_with_labels_that_came_later(
    registered, loans, tmp_path
):
    rows = [loans(30, 700), loans(20, 701)]
    rows[0].to_csv(tmp_path / "b.csv", index=False)
    rows[1].drop(columns="default").to_parquet(tmp_path / "a.parquet")
    labels = tmp_path / "labels.csv"
    rows[1].loc[:9, ["number", "default"]].to_csv(labels, index=False)
    known = read_labels(labels, registered.predictor.schema)
    found = list(partitions([str(tmp_path / "[ab].*")], registered.predictor, "toy@v1", tmp_path, known))
    assert [(p.name, len(p)) for p in found] == [("a", 20), ("b", 30)]
    assert found[0].labels[:10].tolist() == [int(v == "yes") for v in rows[1]["default"][:10]]
    assert (found[0].labels[10:] == -1).all()
    assert found[1].labels.tolist() == [int(v == "yes") for v in rows[0]["default"]]

    log = PredictionLog(tmp_path / "log")
    entry = {"time": "t", "role": "champion", "decision": "no", "probabilities": {"no": 1.0, "yes": 0.0}}
    columns = json.loads(rows[0].drop(columns="default").to_json(orient="records", date_format="iso"))
    for version in ("toy@v1", "toy@v2"):
        log.write({**entry, "version": version, "prediction_id": f"{i}", "columns": c} for i, c in enumerate(columns))
    log.close()
    pd.DataFrame({"prediction_id": ["3"], "default": ["yes"]}).to_csv(labels, index=False)
    known = read_labels(labels, registered.predictor.schema)
    (day,) = partitions([str(tmp_path / "log")], registered.predictor, "toy@v1", tmp_path, known)
    assert len(day) == 30
    assert np.flatnonzero(day.labels >= 0).tolist() == [3]
    pd.testing.assert_series_equal(day.rows["grade"], rows[0]["grade"], check_dtype=False)


def test_files_of_one_name_in_several_folders_of_a_bucket_are_several_partitions(
    registered, loans, tmp_path, monkeypatch
):
    with moto_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        for month, count in (("2025-01", 30), ("2025-02", 20)):
            rows = loans(count, 700).to_csv(index=False).encode()
            server.client().put_object(Bucket=BUCKET, Key=f"rows/{month}/part-0.csv", Body=rows)
        found = list(partitions([f"s3://{BUCKET}/rows/"], registered.predictor, "toy@v1", tmp_path))
    assert [(p.name, len(p)) for p in found] == [("2025-01/part-0", 30), ("2025-02/part-0", 20)]


def test_what_is_wrong_with_partitions_and_labels_is_named(registered, loans, tmp_path):
    predictor = registered.predictor
    with pytest.raises(InputError, match="there is no such file"):
        list(partitions([str(tmp_path / "*.csv")], predictor, "toy@v1", tmp_path))
    (tmp_path / "log").mkdir()
    with pytest.raises(InputError, match="no finished file of a prediction log"):
        list(partitions([str(tmp_path / "log")], predictor, "toy@v1", tmp_path))
    with pytest.raises(InputError, match="'perhaps' is no class of 'default'"):
        partition_of("x", loans(5, 1).assign(default="perhaps"), predictor)
    pd.DataFrame({"numbr": ["1"], "default": ["no"]}).to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(InputError, match="there is no column 'prediction_id'"):
        read_labels(tmp_path / "labels.csv", predictor.schema)
    with pytest.raises(InputError, match="has no column of dates"):
        list(by_month(loans(5, 1), predictor))


@pytest.fixture
def watchable(registered, loans, tmp_path, champion) -> Path:
    """A working copy with a registry whose champion carries its profile."""
    registry, saved = open_registry("file://registry", tmp_path), tmp_path / "saved"
    saved.mkdir()
    registered.predictor.save(saved)
    profile, evaluation = reference_of(registered.predictor, loans(3000, 100))
    files = {f"predictor/{p.name}": p for p in saved.iterdir()}
    files |= {"profile.json": json.dumps(profile).encode(), "evaluation.json": json.dumps(evaluation).encode()}
    registry.promote("toy", registry.publish("toy", files, run="1", summary={}).version)
    shutil.rmtree(saved)
    return tmp_path


def test_a_look_is_written_as_json_and_as_a_page_that_needs_nothing_else(watchable, loans, toy_params):
    for month in ("2025-01", "2025-02"):
        loans(400, 800).assign(code="1" if month == "2025-02" else loans(400, 800)["code"]).to_csv(
            watchable / f"{month}.csv", index=False
        )
    seen = watch(
        "toy@champion", Look((str(watchable / "*.csv"),)), toy_params(), watchable, f"file://{watchable}/registry"
    )
    assert (seen.version, seen.action) == ("toy@v1", "retrain")
    written = json.loads((seen.folder / "monitor.json").read_text())
    assert [p["partition"] for p in written["partitions"]] == ["2025-01", "2025-02"]
    page = (seen.folder / "monitor.html").read_text()
    assert "Retrain" in page
    assert "code (stability index" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_a_version_without_a_profile_is_named(registered):
    with pytest.raises(InputError, match="toy@v1 was registered without the profile"):
        watched(open_registry(registered.url), "toy")


def test_names_that_would_be_code_elsewhere_are_text_on_the_page(champion, loans, toy_params):
    hostile = "<script>alert(1)</script>{{7*7}}'; DROP TABLE x;--"
    found = look(champion, loans(300, 900))
    found["partition"] = hostile
    found["features"][0]["column"] = hostile
    found["reasons"], found["action"] = [f"drift of features: {hostile}"], "retrain"
    page = render(hostile, "retrain", [found, found], toy_params())
    assert "<script>" not in page
    assert "{{7*7}}" in page
    assert "&lt;script&gt;" in page


def test_partitions_of_a_champion_are_never_changed_by_a_look(champion, loans):
    rows = loans(300, 901)
    before = rows.copy()
    examine(champion, partition_of("x", rows, champion.predictor), Monitor(), TERMS)
    pd.testing.assert_frame_equal(rows, before)
    assert replace(champion).profile == champion.profile
    assert isinstance(partition_of("x", rows, champion.predictor), Partition)
