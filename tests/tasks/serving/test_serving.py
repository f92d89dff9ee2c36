"""A version behind HTTP: its answers are the predictor's, what it cannot take is named, and the log holds what a monitor needs and no secret."""

import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from models.errors import InputError
from models.metrics.figures import Terms
from models.predictor import Predictor
from models.recipe import parse
from models.schema import Target
from tasks.registry import open_registry
from tasks.serve import Address, _labels, serve, shadow_report
from tasks.serving.app import CHALLENGER, CHAMPION, Service, create_app
from tasks.serving.body import MOST_BYTES
from tasks.serving.log import PredictionLog, entries_of, log_files, read_log
from tasks.serving.request import request_model
from tasks.serving.scorer import Scorer
from tasks.serving.shadow import compare

SECRET = "hunter2-planted"


def payload(rows: pd.DataFrame, *drop: str) -> dict:
    """Rows as a client sends them."""
    return {
        "rows": json.loads(
            rows.drop(columns=["default", *drop]).to_json(orient="records", date_format="iso", double_precision=15)
        )
    }


@pytest.fixture(scope="module")
def scorers(registered) -> tuple[Scorer, Scorer]:
    registry = open_registry(registered.url)
    return Scorer(registry, "toy@champion"), Scorer(registry, "toy@challenger")


@pytest.fixture
def client(scorers, tmp_path):
    """A client of both versions, and the folder of the log, which is finished when the client is closed."""
    with TestClient(create_app(Service(*scorers, PredictionLog(tmp_path / "log")))) as made:
        yield made


def test_it_answers_as_the_predictor_does_and_says_who_it_is(client, registered, loans):
    rows = loans(40, 7)
    answer = client.post("/predict", json=payload(rows, "sex"))
    assert answer.status_code == 200, answer.text
    expected = registered.predictor.predict_frame(rows)
    found = answer.json()
    assert found["version"] == "toy@v1"
    assert [p["decision"] for p in found["predictions"]] == expected["decision"].tolist()
    np.testing.assert_array_equal([p["probabilities"]["yes"] for p in found["predictions"]], expected["p_yes"])
    assert client.get("/health").json() == {"status": "ok", "version": "toy@v1", "shadow": "toy@v2"}


def test_values_may_come_as_any_type_that_means_the_same(client):
    given = {"amount": 1, "grade": "mid", "code": 2, "opened": "2024-03-01"}
    same = {"amount": 1.0, "grade": " mid ", "code": "2", "opened": "2024-03-01T00:00:00Z"}
    one, other = (client.post("/predict", json={"rows": [row]}).json() for row in (given, same))
    assert one["predictions"][0]["probabilities"] == other["predictions"][0]["probabilities"]
    nothing = client.post("/predict", json={"rows": [dict.fromkeys(given)]})
    assert nothing.status_code == 200
    odd = client.post("/predict", json={"rows": [{**given, "code": "9"}]}).json()
    assert odd["notes"] == ["column 'code': 1 of these rows hold values unknown to the model; they count as missing"]


@pytest.mark.parametrize(
    ("change", "column", "says"),
    [
        ({"amount": "much"}, "amount", "valid number"),
        ({"opened": "yesterday"}, "opened", "valid date"),
        ({"grade": ["low"]}, "grade", "valid string"),
        ({"amount": ...}, "amount", "it is missing"),
        ({"amuont": 1}, "amuont", "no such column"),
        ({"default": "yes"}, "default", "no such column"),
    ],
)
def test_what_does_not_fit_is_named_by_row_and_column_and_not_repeated(client, change, column, says):
    good = {"amount": 1.0, "grade": "mid", "code": "2", "opened": "2024-03-01"}
    bad = {k: v for k, v in {**good, **change}.items() if v is not ...}
    answer = client.post("/predict", json={"rows": [good, bad]})
    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert (problem["row"], problem["column"]) == (1, column)
    assert says in problem["problem"]
    assert "much" not in answer.text
    assert "yesterday" not in answer.text


def test_no_rows_too_many_rows_and_no_json_are_refused(client):
    for body in ({"rows": []}, {"rows": [{}] * 1001}, {}, [], "rows"):
        assert client.post("/predict", json=body).status_code == 422
    assert client.post("/predict", content=b"{").status_code == 422
    assert client.get("/docs").status_code == 404
    whole = json.dumps({"rows": [{"amount": 1, "x": "y" * MOST_BYTES}]}).encode()
    for body in (whole, iter([whole[:-1], whole[-1:]])):  # its length announced, or not
        answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert "send fewer rows at once" in answer.json()["detail"]
    row = client.get("/openapi.json").json()["components"]["schemas"]["Row"]
    assert set(row["required"]) == {"amount", "grade", "code", "opened"}
    assert {"sex", "number"} <= set(row["properties"])


def test_groups_are_required_where_the_decision_depends_on_them(registered):
    adjusters = parse("equalized_odds").adjust
    states = ({"thresholds": None},)
    made = request_model(
        Predictor(registered.predictor.preprocessor, registered.predictor.models, adjusters, states, "x")
    )
    assert "sex" in made.model_json_schema(by_alias=True)["$defs"]["Row"]["required"]


def test_names_that_would_be_code_elsewhere_are_names(registered):
    odd = {"amount": "{{7*7}}", "grade": "x'; DROP TABLE rows;--", "code": "<script>alert(1)</script>"}
    preprocessor = registered.predictor.preprocessor.model_dump()
    text = json.dumps(preprocessor, default=str)
    for name, new in odd.items():
        text = text.replace(f'"name": "{name}"', f'"name": {json.dumps(new)}')
    renamed = type(registered.predictor.preprocessor).model_validate(json.loads(text))
    scorer = Scorer.__new__(Scorer)
    scorer.__dict__.update(vars(Scorer(open_registry(registered.url), "toy")))
    scorer.predictor = Predictor(renamed, registered.predictor.models, (), (), "none")
    client = TestClient(create_app(Service(scorer)))
    row = {"{{7*7}}": 1, odd["grade"]: "mid", odd["code"]: "1", "opened": "2024-03-01"}
    assert client.post("/predict", json={"rows": [row]}).status_code == 200
    (problem,) = client.post("/predict", json={"rows": [{**row, "{{7*7}}": "x"}]}).json()["errors"]
    assert problem["column"] == "{{7*7}}"


def test_the_log_has_both_versions_under_one_name_and_what_the_monitor_needs(client, scorers, tmp_path, loans):
    rows = loans(30, 3)
    answered = client.post("/predict", json=payload(rows)).json()["predictions"]
    client.__exit__(None, None, None)
    (file,) = log_files(tmp_path / "log")
    table = read_log([file])
    assert len(table) == 60
    for role, scorer in zip((CHAMPION, CHALLENGER), scorers, strict=True):
        mine = table[table["role"] == role]
        assert set(mine["version"]) == {scorer.label}
        assert mine["prediction_id"].tolist() == [p["prediction_id"] for p in answered]
        np.testing.assert_array_equal(mine["p_yes"], scorer.predictor.predict_frame(rows)["p_yes"])
        for name in ("amount", "grade", "sex", "number"):
            pd.testing.assert_series_equal(mine[name].reset_index(drop=True), rows[name], check_dtype=False, rtol=1e-12)
    assert "default" not in table
    assert len(read_log([file], version="toy@v2")) == 30


def test_an_identifier_that_no_float_holds_is_logged_as_it_is(client, tmp_path, loans):
    rows = payload(loans(1, 3))
    rows["rows"][0] |= {"number": 2**60 + 1, "code": 10**400}
    assert client.post("/predict", json=rows).status_code == 200
    client.__exit__(None, None, None)
    (file,) = log_files(tmp_path / "log")
    assert [entry["columns"]["number"] for entry in entries_of(file)] == [str(2**60 + 1)] * 2


def test_no_secret_reaches_the_log_and_sensitive_columns_only_where_they_are_wanted(scorers, tmp_path, caplog, loans):
    rows = loans(2, 3).assign(number=f"https://user:{SECRET}@host/loan?token={SECRET}&page=1")
    headers = {"Authorization": f"Bearer {SECRET}", "Cookie": f"session={SECRET}"}
    with (
        caplog.at_level(logging.DEBUG),
        TestClient(create_app(Service(scorers[0], log=PredictionLog(tmp_path), sensitive=False))) as client,
    ):
        assert client.post(f"/predict?key={SECRET}", json=payload(rows), headers=headers).status_code == 200
        assert client.post("/predict", json={"rows": [{"token": SECRET}]}, headers=headers).status_code == 422
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "page=1" in written
    assert SECRET not in written
    assert SECRET not in "".join(r.getMessage() for r in caplog.records if r.name.startswith("equipoise"))
    entries = [e for path in log_files(tmp_path) for e in entries_of(path)]
    assert {name for e in entries for name in e["columns"]} == {"amount", "grade", "code", "opened", "number"}


def test_a_challenger_that_fails_or_a_log_that_cannot_be_written_never_reaches_the_caller(
    scorers, tmp_path, caplog, loans
):
    class Broken(Scorer):
        def __init__(self):
            self.__dict__.update(vars(scorers[1]))

        def answer(self, rows):
            raise RuntimeError("out of order")

    written = PredictionLog(tmp_path / "log")
    client = TestClient(create_app(Service(scorers[0], Broken(), written)))
    assert client.post("/predict", json=payload(loans(3, 1))).status_code == 200
    assert "challenger toy@v2 could not score" in caplog.text
    written.close()
    assert set(read_log(log_files(tmp_path / "log"))["role"]) == {CHAMPION}
    (tmp_path / "log").rename(tmp_path / "gone")
    (tmp_path / "log").touch()
    assert client.post("/predict", json=payload(loans(3, 1))).status_code == 200
    assert "3 predictions are lost" in caplog.text


def test_log_files_are_rotated_and_what_a_killed_server_left_is_finished(tmp_path):
    log = PredictionLog(tmp_path, most_bytes=300)
    for i in range(10):
        log.write([{"number": i, "padding": "x" * 80}])
    assert len(log_files(tmp_path)) >= 3
    log.close()
    assert [e["number"] for path in log_files(tmp_path) for e in entries_of(path)] == list(range(10))
    killed = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    left = tmp_path / "2024-01-01" / f"000000-{int(killed.stdout)}-1.jsonl.open"
    left.parent.mkdir()
    left.write_text('{"format": 1, "number": -1}\n{"format": 1, "num')
    PredictionLog(tmp_path)
    assert not left.exists()
    assert [e["number"] for e in entries_of(log_files(tmp_path)[0])] == [-1]
    with pytest.raises(InputError, match="lacks time or another key"):
        read_log(log_files(tmp_path))
    (tmp_path / "odd.jsonl").write_text("[1]\n")
    with pytest.raises(InputError, match=r"odd\.jsonl, line 1: no entry"):
        read_log([tmp_path / "odd.jsonl"])


def test_a_full_disk_and_a_folder_that_was_tidied_up_leave_a_log_that_goes_on(tmp_path):
    log = PredictionLog(tmp_path)
    log.write([{"number": 0}])
    (opened,) = tmp_path.glob("*/*.open")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (opened.stat().st_size + 20, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            log.write([{"number": 1, "padding": "x" * 80}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.write([{"number": 2}])
    log.close()
    assert [e["number"] for path in log_files(tmp_path) for e in entries_of(path)] == [0, 2]

    log.write([{"number": 3}])
    shutil.rmtree(opened.parent)
    log.close()
    log.write([{"number": 4}])
    log.close()
    assert [e["number"] for path in log_files(tmp_path) for e in entries_of(path)] == [4]


YES_NO = Target(column="default", kind="binary", classes=("no", "yes"))


def entries(labels: np.ndarray, scores: dict[str, np.ndarray]) -> pd.DataFrame:
    parts = [
        pd.DataFrame(
            {
                "prediction_id": [f"r{i}" for i in range(len(labels))], "version": f"toy@{role}", "role": role,
                "decision": np.where(p > 0.5, "yes", "no"), "p_no": 1 - p, "p_yes": p,
            }
        )
        for role, p in scores.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_the_comparison_finds_who_is_right_and_who_is_the_same():
    rng = np.random.default_rng(0)
    truth = rng.random(3000)
    labels = np.where(rng.random(3000) < truth, "yes", "no")
    noisy = np.clip(truth + rng.normal(0, 0.4, 3000), 0.01, 0.99)
    found = compare(
        entries(labels, {CHAMPION: noisy, CHALLENGER: truth}), YES_NO,
        pd.Series(labels[:2500], [f"r{i}" for i in range(2500)]), Terms(draws=200),
    )  # fmt: skip
    assert found["rows"] == 3000
    assert found["labelled"] == 2500
    agree = ((noisy > 0.5) == (truth > 0.5)).mean()
    assert found["agreement"]["value"] == pytest.approx(agree, abs=1e-5)
    assert found["agreement"]["low"] < agree < found["agreement"]["high"]
    assert sum(m["rows"] for m in found["decisions"]) == round(3000 * (1 - agree))
    assert found["scores"]["yes"]["value"] == pytest.approx((truth - noisy).mean(), abs=1e-5)
    auc = found["metrics"]["roc_auc"]
    assert auc["low"] > 0
    assert auc["value"] == pytest.approx(auc["challenger"] - auc["champion"], abs=1e-5)
    assert found["metrics"]["brier"]["high"] < 0
    same = compare(entries(labels, {CHAMPION: truth, CHALLENGER: truth}), YES_NO, None, Terms(draws=50))
    assert same["agreement"]["value"] == 1
    assert same["scores"]["yes"] == {"value": 0.0, "low": 0.0, "high": 0.0, "absolute": 0.0}
    assert same["metrics"] == {}
    with pytest.raises(InputError, match="no prediction of the log was scored by champion and challenger"):
        compare(entries(labels, {CHAMPION: truth}), YES_NO, None, Terms())


def said(role: str, **columns: object) -> pd.DataFrame:
    count = len(next(iter(columns.values())))  # type: ignore[arg-type]
    ids = [f"r{i}" for i in range(count)]
    return pd.DataFrame({"prediction_id": ids, "version": f"toy@{role}", "role": role, **columns})


def test_models_of_a_number_are_compared_by_its_bins_and_its_errors():
    target = Target(
        column="price", kind="regression", cuts=(10.0, 20.0), balance_column="b", balance_classes=("low", "mid", "high")
    )
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 30, 800)
    near, far = truth + rng.normal(0, 0.5, 800), truth + rng.normal(0, 4, 800)
    log = pd.concat([said(CHAMPION, prediction=far), said(CHALLENGER, prediction=near)], ignore_index=True)
    known = pd.Series(truth.astype(str), [f"r{i}" for i in range(800)])
    found = compare(log, target, known[:700], Terms(draws=100))
    assert found["labelled"] == 700
    agree = (np.searchsorted([10, 20], near) == np.searchsorted([10, 20], far)).mean()
    assert found["agreement"]["value"] == pytest.approx(agree, abs=1e-5)
    assert {m[side] for m in found["decisions"] for side in (CHAMPION, CHALLENGER)} <= {"low", "mid", "high"}
    assert found["scores"]["prediction"]["absolute"] == pytest.approx(np.abs(near - far).mean(), rel=1e-4)
    mae = found["metrics"]["mae"]
    assert mae["value"] == pytest.approx(np.abs(near - truth)[:700].mean() - np.abs(far - truth)[:700].mean(), rel=1e-4)
    assert mae["high"] < 0
    assert found["metrics"]["r2"]["low"] > 0


def test_models_of_labels_agree_where_they_decide_for_the_same_and_are_judged_by_the_metrics_of_labels(tmp_path):
    target = Target(column="tags", kind="multilabel", classes=("a", "b"))
    texts = np.array(["", "a", "b", "a;b"])
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (600, 2))
    scores = {
        CHAMPION: np.clip(truth + rng.normal(0, 0.7, (600, 2)), 0.01, 0.99),
        CHALLENGER: np.where(truth, 0.9, 0.1),
    }
    decided = {role: p > 0.5 for role, p in scores.items()}
    # The champion's labels come in another order, as its classes may.
    names = {CHAMPION: np.array(["", "a", "b", "b;a"]), CHALLENGER: texts}
    log = pd.concat(
        [said(r, decision=names[r][decided[r] @ [1, 2]], p_a=p[:, 0], p_b=p[:, 1]) for r, p in scores.items()], ignore_index=True
    )  # fmt: skip
    path = tmp_path / "labels.csv"
    pd.DataFrame({"prediction_id": [f"r{i}" for i in range(600)], "a": truth[:, 0], "b": truth[:, 1]}).to_csv(
        path, index=False
    )
    found = compare(log, target, _labels(path, target), Terms(draws=100))
    agree = (decided[CHAMPION] == decided[CHALLENGER]).all(1).mean()
    assert found["agreement"]["value"] == pytest.approx(agree, abs=1e-5)
    assert found["labelled"] == 600
    assert found["metrics"]["subset_accuracy"][CHALLENGER] == 1
    assert found["metrics"]["macro_f1"]["low"] > 0
    assert sum(m["rows"] for m in found["decisions"]) == round(600 * (1 - agree))


def test_models_of_ordered_classes_are_judged_by_how_far_off_they_are():
    target = Target(column="grade", kind="ordinal", classes=("low", "mid", "high"))
    names = np.array(target.classes)
    truth = np.resize([0, 1, 2], 300)
    off = np.where(np.arange(300) % 3 == 0, 2 - truth, truth)
    parts = {CHAMPION: off, CHALLENGER: truth}
    log = pd.concat(
        [said(r, decision=names[d], **{f"p_{n}": np.where(d == i, 0.8, 0.1) for i, n in enumerate(names)}) for r, d in parts.items()],
        ignore_index=True,
    )  # fmt: skip
    found = compare(log, target, pd.Series(names[truth], [f"r{i}" for i in range(300)]), Terms(draws=100))
    kappa = found["metrics"]["quadratic_weighted_kappa"]
    assert kappa[CHALLENGER] == 1
    assert kappa["low"] > 0
    assert found["decisions"][0] == {CHAMPION: "high", CHALLENGER: "low", "rows": 100}


def test_the_server_itself_listens_on_this_machine_and_finishes_its_log(registered, repository, tmp_path, loans):
    words = [
        "serve",
        "toy@champion",
        "--port",
        "0",
        "--shadow",
        "challenger",
        "--log",
        str(tmp_path),
        "--url",
        registered.url,
    ]
    command = [sys.executable, "-c", "from flows.command import main; main()", *words]
    process = subprocess.Popen(
        command, cwd=repository, stdout=subprocess.PIPE, text=True, env=os.environ | {"CI": "true"}
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = line.split(" answers at ")[1].split(";")[0]
        assert address.startswith("http://127.0.0.1:")
        rows = loans(20, 5)
        sent = urllib.request.Request(address, json.dumps(payload(rows)).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(sent, timeout=60) as answer:
            names = [p["prediction_id"] for p in json.load(answer)["predictions"]]
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert not list(tmp_path.rglob("*.open"))
    labels = tmp_path / "labels.csv"
    pd.DataFrame({"prediction_id": names, "default": rows["default"]}).to_csv(labels, index=False)
    found = shadow_report(tmp_path, "toy", labels, registered.url)
    assert (found["champion"], found["challenger"]) == ("toy@v1", "toy@v2")
    assert (found["rows"], found["labelled"]) == (20, 20)
    assert found["metrics"]["accuracy"]["value"] is not None


def test_a_taken_address_and_a_shadow_without_a_log_are_named(registered, tmp_path):
    with pytest.raises(InputError, match="--shadow compares in the prediction log"):
        serve("toy", Address(port=0), registered.url, shadow="challenger")
    with pytest.raises(InputError, match="cannot be listened on"):
        serve("toy", Address("192.0.2.1", 1), registered.url)
