"""The stages from ingest to report, and what a version is used for, for a number, for classes with an order and for several labels."""

import json
import logging
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from models.errors import InputError
from models.metrics.names import BALANCED, names_for
from models.metrics.profile import Profile
from models.predictor import Predictor
from models.preprocess import Preprocessor
from tasks import audit, evaluate, gate, ingest, report, resample, split, start, train, tune, validate
from tasks.evaluate import evaluate as evaluation_of
from tasks.export import answers, export
from tasks.judging import scored as scored_rows
from tasks.judging import terms_of
from tasks.monitoring.watch import Look, watch
from tasks.params import Params, load_params
from tasks.parts import read_rows, read_schema, rows_of
from tasks.predict import score
from tasks.registry import open_registry
from tasks.search.encoding import encode
from tasks.search.entrants import entrants
from tasks.search.objective import goal_of
from tasks.search.work import Job, Setting, carry_out
from tasks.serve import shadow_report
from tasks.serving.app import Service, create_app
from tasks.serving.log import PredictionLog
from tasks.serving.scorer import Scorer
from tasks.stage import Stage, read_json, write_json

QUICK = {
    "model": {"learners": ["mlp", "trees"], "hidden": [16], "epochs": 3, "iterations": 20, "refits": 1},
    "evaluate": {"bootstrap": 60, "evidence_rows": 15, "evidence_per_class": 3},
}
KINDS = {
    "regression": {"data": {"name": "diabetes"}},
    "ordinal": {"data": {"name": "diabetes"}, "target": {"kind": "ordinal", "bins": [100, 200]}},
    "multilabel": {"data": {"name": "conditions", "rows": 900}},
}


def params_of(repository: Path, tmp_path: Path, kind: str) -> Params:
    from tasks.params import parse_params, read_yaml

    raw = read_yaml(repository / "params.yaml")
    for section, values in (*KINDS[kind].items(), *QUICK.items()):
        raw[section] = {**raw[section], **values}
    raw["registry"] = {"url": f"file://{tmp_path}/registry", "name": None}
    return parse_params(raw)


def choose(params: Params, root: Path) -> dict:
    """Two trials without the machinery around them, and the better one written as the choice."""
    schema, goal = read_schema(root / "data/ingest"), goal_of(params.search, read_schema(root / "data/ingest"))
    rows = rows_of(read_rows(root / "data/ingest"), root / "data/split", "train")
    found = entrants(params.search, schema, params.model.learners, lambda: rows)
    # What `auto` picks suits this kind of target; the plain training alone is carried out below.
    assert all(schema.target.kind in part.tasks for recipe in found.recipes.values() for part in recipe.everything())
    recipes = {"none": found.recipes["none"]}
    inputs = {"rows": root / "data/ingest/rows.parquet", "split": root / "data/split/split.parquet"}
    preprocessor, tables = encode(
        params, {**inputs, "resampled": root / "data/resample"}, schema, list(recipes.values()), None
    )
    plan = tune.Plan(budget=3, hidden=(16,))
    setting = Setting(
        recipes, preprocessor.inputs, plan, schema, params.evaluate, goal.metric, 0,
        preprocessor.target_scale,
    )  # fmt: skip
    metrics = {}
    for learner in ("mlp", "trees"):
        job = Job("job", "none", learner, 3 if learner == "mlp" else 20, (({}, 1),))
        (result,) = carry_out(job, setting, lambda name: tables[name].split())
        assert result.error is None
        assert set(names_for(schema.target.kind)) <= set(result.metrics)
        metrics[learner] = result.metrics
    best = max(metrics, key=lambda name: goal.merit(metrics[name]))
    standing = {"trial": 0, "recipe": "none", "learner": best, "values": {}, "feasible": True, "violation": 0.0}
    trial = {
        **standing,
        "metrics": metrics[best],
        "status": "finished",
        "error": None,
        "rungs": [],
        "seed": 1,
        "round": 0,
    }
    write_json(
        root / "data/tune/trials.json", {"objective": goal.record(), "wall_clock_limited": False, "trials": [trial]}
    )
    write_json(root / "data/tune/choice.json", {**standing, "why": "It is.", "metrics": metrics[best]})
    return metrics


@pytest.mark.parametrize("kind", KINDS)
def test_every_stage_serves_this_kind_of_target(kind, repository, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    params = params_of(repository, tmp_path, kind)

    def run(stage: Stage) -> None:
        stage.execute(params, tmp_path)

    for module in (ingest, validate, split, start, resample):
        run(module.STAGE)
    schema = read_schema(tmp_path / "data/ingest")
    assert schema.target.kind == kind
    (tmp_path / "data/tune").mkdir()
    choose(params, tmp_path)
    for module in (train, evaluate, audit, gate, report):
        run(module.STAGE)

    evaluation = read_json(tmp_path / "data/evaluate/evaluation.json")
    shown = evaluation["overall"][BALANCED[kind]]
    assert shown["low"] <= shown["value"] <= shown["high"]
    assert set(evaluation["by_class"]) == set(schema.target.counted)
    gaps = read_json(tmp_path / "data/audit/audit.json")["attributes"]["sex"]["gaps"]
    assert any(gap["value"] is not None for gap in gaps.values())
    verdict = read_json(tmp_path / "data/gate/verdict.json")
    assert all(rule["rule"]["metric"] in names_for(kind) for rule in verdict["rules"])
    assert any("Rules left out" in note for note in verdict["notes"])
    html = (tmp_path / "data/report/report.html").read_text(encoding="utf-8")
    assert ("Predicted against true numbers" in html) == (kind == "regression")
    assert ("ROC curve" in html) == (kind != "regression")

    predictor = Predictor.load(tmp_path / "data/train/predictor")
    profile = Profile.model_validate(read_json(tmp_path / "data/evaluate/profile.json"))
    assert set(profile.scores) == (set(schema.target.classes) or {"prediction"})
    assert all(column.known == profile.rows for column in profile.scores.values())
    assert set(profile.decisions) == set(schema.target.classes)
    if kind == "ordinal":
        assert sum(profile.decisions.values()) == profile.rows
    rows = read_rows(tmp_path / "data/ingest").head(40)
    rows.drop(columns=[schema.target.column]).to_csv(tmp_path / "new.csv", index=False)
    scored = pd.concat(score(predictor, tmp_path / "new.csv"))
    if kind == "regression":
        assert list(scored.columns) == ["prediction"]
        assert 0 < scored["prediction"].mean() < 400
    else:
        assert list(scored.columns) == ["decision", *(f"p_{name}" for name in schema.target.classes)]
    json.dumps(scored.to_dict())
    publish(tmp_path)
    is_exported(predictor, rows, tmp_path)
    is_served_and_watched(predictor, read_rows(tmp_path / "data/ingest"), params, tmp_path)


def publish(root: Path) -> None:
    """What was trained as the champion of a registry, whatever the gates said of so short a training."""
    registry, data = open_registry("file://registry", root), root / "data"
    files = {f"predictor/{p.name}": p for p in (data / "train/predictor").iterdir()}
    files |= {name: data / "evaluate" / name for name in ("profile.json", "evaluation.json")}
    registry.promote("toy", registry.publish("toy", files, run="1", summary={}).version)


def is_exported(predictor: Predictor, rows: pd.DataFrame, root: Path) -> None:
    """The ONNX file agrees with the predictor, in its own kind of output."""
    export("toy", root / "toy.onnx", f"file://{root}/registry")
    model, target = onnx.load(root / "toy.onnx"), predictor.schema.target
    outputs = dict(zip([o.name for o in model.graph.output], answers(model, predictor, rows), strict=True))
    decisions, probabilities = predictor.predict(rows)
    if target.kind == "regression":
        np.testing.assert_allclose(
            outputs.pop("prediction"), decisions, atol=1e-5 * predictor.preprocessor.target_scale.deviation
        )
    else:
        np.testing.assert_allclose(outputs.pop("probabilities"), probabilities, rtol=0, atol=1e-5)
        said = decisions.tolist() if target.kind == "multilabel" else [target.classes[i] for i in decisions]
        assert outputs.pop("decision").tolist() == said
    assert outputs == {}


def is_served_and_watched(predictor: Predictor, rows: pd.DataFrame, params: Params, root: Path) -> None:
    """HTTP answers as `predict` does; its log is watched with labels that come later; what has changed is found."""
    target, url = predictor.schema.target, f"file://{root}/registry"
    asked = rows[[*predictor.preprocessor.columns, *(a.name for a in predictor.schema.sensitive)]].head(300)
    asked = asked.loc[:, ~asked.columns.duplicated()]
    with TestClient(create_app(Service(Scorer(open_registry(url), "toy"), log=PredictionLog(root / "log")))) as client:
        body = {"rows": json.loads(asked.to_json(orient="records", double_precision=15))}
        answer = client.post("/predict", json=body)
        assert answer.status_code == 200, answer.text
        found = answer.json()["predictions"]
        described = client.get("/openapi.json").json()["components"]["schemas"]
    expected = predictor.predict_frame(asked)
    if target.kind == "regression":
        assert [one["prediction"] for one in found] == pytest.approx(expected["prediction"].tolist())
        assert "NumberPrediction" in described
    else:
        said = [";".join(one["decision"]) if target.kind == "multilabel" else one["decision"] for one in found]
        assert said == expected["decision"].tolist()
        first = target.classes[0]
        assert [one["probabilities"][first] for one in found] == pytest.approx(expected[f"p_{first}"].tolist())

    labels = pd.DataFrame(
        {"prediction_id": [one["prediction_id"] for one in found], target.column: rows[target.column].head(300)}
    )
    labels.to_csv(root / "labels.csv", index=False)
    seen = watch("toy", Look((str(root / "log"),), root / "labels.csv"), params, root, url)
    (day,) = seen.partitions
    assert day["labelled"] == len(found)
    assert day["metric"] == {"regression": "r2"}.get(target.kind, "balanced_accuracy")
    judged = scored_rows(rows.head(300), *predictor.predict(asked), target)
    own = evaluation_of(judged, target.counted, terms_of(params.evaluate, params.seed))["overall"]
    assert day["performance"]["overall"][day["metric"]] == own[day["metric"]]
    by_group = day["groups_performance"]["attributes"]["sex"]["groups"]
    figure = "mae" if target.kind == "regression" else "balanced_accuracy"
    assert all(g["metrics"][figure]["low"] <= g["metrics"][figure]["value"] for g in by_group.values())

    with pytest.raises(InputError, match="no prediction of the log was scored by champion and challenger"):
        shadow_report(root / "log", "toy", None, url)

    column = next(c.name for c in predictor.preprocessor.numeric)
    rows.head(300).assign(**{column: rows[column].max()}).to_csv(root / "moved.csv", index=False)
    decided, _ = predictor.predict(asked)
    names = np.asarray(target.classes, dtype=object)
    wrong = {
        "regression": lambda: rows[target.column].head(300).to_numpy()[::-1],
        "ordinal": lambda: names[(decided + 1) % len(names)],
        "multilabel": lambda: [";".join(names[row == 0]) for row in decided],
    }
    turned = rows.head(300).assign(**{target.column: wrong[target.kind]()})
    turned.to_csv(root / "turned.csv", index=False)
    moved, other = watch("toy", Look((str(root / "[mt]*ed.csv"),)), params, root, url).partitions
    assert moved["reasons"][0].startswith("drift of features:")
    assert f"{column} (stability index" in moved["reasons"][0]
    assert not any(r.startswith("drift of features") for r in other["reasons"])
    assert any(r.startswith((f"{day['metric']} is ", "calibration error is ")) for r in other["reasons"])
    page = (root / "data/monitor/monitor.html").read_text(encoding="utf-8")
    assert ("Root mean squared error" in page) == (target.kind == "regression")


def test_a_number_is_standardized_by_training_rows_and_comes_back(repository, tmp_path):
    params = params_of(repository, tmp_path, "regression")
    ingest.STAGE.execute(params, tmp_path)
    rows, schema = read_rows(tmp_path / "data/ingest"), read_schema(tmp_path / "data/ingest")
    preprocessor = Preprocessor.fit(rows.head(200), schema, False)
    encoded = preprocessor.encode(rows.head(200))
    assert encoded.values.mean().item() == pytest.approx(0, abs=1e-5)
    assert encoded.values.std(unbiased=False).item() == pytest.approx(1, abs=1e-5)
    again = Preprocessor.model_validate(json.loads(preprocessor.model_dump_json()))
    back = again.target_scale.restored(encoded.values[:, 0].numpy())
    assert back == pytest.approx(rows.head(200)["progression"].to_numpy(), rel=1e-5)
    assert pd.Series(encoded.labels.numpy()).nunique() == len(schema.target.strata)


def test_the_default_policy_and_search_suit_every_kind(repository):
    loaded = load_params(repository / "params.yaml")
    for kind in ("binary", "multiclass", "ordinal", "multilabel", "regression"):
        policy, _ = gate.suited(loaded.gates, kind)
        assert policy.rules
