"""The validate stage: what it writes, what stops a run and what it says, and which limits a check takes."""

import logging
import re
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.errors import EquipoiseError, InputError, RefusedError
from models.schema import Attribute, Column, Schema, Target
from tasks.expectations.outcome import outcomes
from tasks.expectations.suite import plan
from tasks.ingest import STAGE as INGEST
from tasks.params import CHECKS, Params, parse_params
from tasks.sources.parquet import write_parquet
from tasks.stage import read_json, write_json
from tasks.validate import STAGE, evaluate

CLASSES, GROUPS, COUNT = ("no", "<b>yes</b>"), ("A", "B"), 300


def params(*checks: dict, **sections: object) -> Params:
    rules = [{"metric": "balanced_accuracy", "at_least": 0.6}]
    return parse_params(
        {"checks": list(checks), "search": {"recipes": ["none"]}, "gates": {"rules": rules}, **sections}
    )


def small(count: int = COUNT) -> tuple[pd.DataFrame, Schema]:
    random = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "row_id": np.arange(count),
            "income": random.lognormal(8, 1, count),
            "age": random.integers(18, 90, count).astype(float),
            "city": random.choice(["Bern", "Rome"], count),
            "opened": pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 700, count), unit="D"),
            "sex": random.choice(GROUPS, count),
            "age_group": random.choice(["young", "old"], count),
            "default": np.where(random.random(count) < 0.2, CLASSES[1], CLASSES[0]),
            "weight": np.ones(count),
        }
    )
    rows.loc[:19, "income"] = np.nan
    schema = Schema(
        dataset="small & <i>neat</i>",
        columns=(
            Column(name="income", kind="numeric", role="feature"),
            Column(name="age", kind="numeric", role="sensitive"),
            Column(name="city", kind="categorical", role="feature", categories=("Bern", "Rome")),
            Column(name="opened", kind="date", role="feature"),
            Column(name="sex", kind="categorical", role="sensitive", categories=GROUPS),
            Column(name="age_group", kind="ordinal", role="sensitive", feature=False, categories=("young", "old")),
            Column(name="default", kind="categorical", role="target", feature=False, categories=CLASSES),
            Column(name="weight", kind="numeric", role="weight", feature=False),
            Column(name="account", kind="identifier", role="dropped", feature=False),
        ),
        target=Target(column="default", kind="binary", classes=CLASSES),
        sensitive=(Attribute(name="sex", groups=GROUPS), Attribute(name="age_group", groups=("young", "old"))),
        weight="weight",
    )
    return rows, schema


def place(root: Path, rows: pd.DataFrame, schema: Schema) -> Path:
    write_parquet(root / "data/ingest/rows.parquet", rows)
    write_json(root / "data/ingest/schema.json", schema.model_dump())
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return place(tmp_path, *small())


def results(root: Path) -> dict:
    return read_json(root / "data/validate/results.json")


EVERY = [
    {"check": "imbalance_ratio", "at_most": 20},
    {"check": "rows_per_class", "at_least": 10},
    {"check": "rows_per_class_and_group", "at_least": 5},
    {"check": "group_coverage"},
    {"check": "missing_rate", "at_most": 0.5},
    {"check": "missing_rate_gap", "at_most": 0.5},
    {"check": "identifier_leakage"},
    {"check": "target_not_missing"},
    {"check": "constant_column"},
    {"check": "distinct_values", "at_most": 0.2},
]


def test_rows_that_are_in_order_pass_every_check_there_is(root):
    assert {c["check"] for c in EVERY} == set(CHECKS)
    STAGE.execute(params(*EVERY), root)
    found = results(root)
    assert found["success"]
    assert found["rows"] == COUNT
    assert {c["outcome"] for c in found["checks"]} == {"pass"}
    assert {c["check"] for c in found["checks"]} > set(CHECKS)
    assert found["counts"]["checks"] == found["counts"]["passed"] == len(found["checks"])


def test_each_check_looks_at_the_columns_that_fit():
    rows, schema = small()
    planned, _ = plan(params(*EVERY).checks, schema, rows)
    looked = {name: {(p.column, p.attribute) for p in planned if p.check == name} for name in CHECKS}
    assert looked["imbalance_ratio"] == looked["target_not_missing"] == {("default", None)}
    assert looked["group_coverage"] == {("sex", None), ("age_group", None)}
    assert {c for c, _ in looked["missing_rate"]} == {"income", "age", "city", "opened", "sex", "age_group"}
    assert looked["missing_rate_gap"] == {
        (c, a) for c in ("income", "age", "city", "opened") for a in ("sex", "age_group")
    }
    assert {c for c, _ in looked["constant_column"]} == {"income", "city", "opened"}
    assert {c for c, _ in looked["identifier_leakage"]} == {"income", "city", "opened"}
    assert {c for c, _ in looked["distinct_values"]} == {"city"}


def test_columns_narrow_a_check_to_some_columns_and_attributes():
    rows, schema = small()
    chosen = {"check": "missing_rate_gap", "at_most": 0.1, "columns": ["income", "sex"]}
    planned, _ = plan(params(chosen).checks, schema, rows)
    assert [(p.column, p.attribute) for p in planned if p.check == "missing_rate_gap"] == [("income", "sex")]


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ({"check": "missing_rate", "at_most": 0.1, "columns": ["incom"]}, r"checks\[0\]\.columns: missing_rate cannot look at 'incom'. Did you mean 'income'"),
        ({"check": "group_coverage", "columns": ["income"]}, r"cannot look at 'income'. Known: age_group, sex"),
        ({"check": "rows_per_class", "at_least": 3, "columns": ["sex"]}, r"cannot look at 'sex'. Known: default"),
    ],
)  # fmt: skip
def test_a_column_that_does_not_fit_is_named_and_nothing_is_written(root, check, message):
    with pytest.raises(InputError, match=message):
        STAGE.execute(params(check), root)
    assert not (root / "data/validate").exists()


def test_an_error_stops_the_run_and_says_which_check_column_expected_and_observed(root):
    failing = {"check": "missing_rate", "at_most": 0.05, "columns": ["income"], "severity": "error"}
    fine = {"check": "rows_per_class", "at_least": 10, "severity": "error"}
    with pytest.raises(RefusedError) as caught:
        STAGE.execute(params(fine, failing), root)
    told = str(caught.value)
    assert caught.value.exit_code == 3
    assert "refused by 1 check" in told
    assert "missing_rate: column 'income': expected: at most 5% of the values are missing" in told
    assert "observed: 6.7% (20 of 300 rows)" in told
    assert "raise checks[1].at_most" in told
    assert "rows_per_class" not in told
    found = results(root)
    assert not found["success"]
    assert [c["check"] for c in found["checks"] if c["outcome"] == "fail"] == ["missing_rate"]
    assert (root / "data/validate/docs/index.html").exists()


def test_every_failed_error_is_told_at_once(root):
    checks = [
        {"check": "rows_per_class", "at_least": 1000, "severity": "error"},
        {"check": "imbalance_ratio", "at_most": 1, "severity": "error"},
    ]
    with pytest.raises(
        RefusedError, match=r"(?s)2 checks.*rows_per_class: column 'default'.*imbalance_ratio: column 'default'"
    ):
        STAGE.execute(params(*checks), root)


def test_a_warning_is_logged_and_kept_and_the_run_goes_on(root, caplog):
    with caplog.at_level(logging.INFO, "equipoise"):
        STAGE.execute(params({"check": "rows_per_class_and_group", "at_least": 1000}), root)
    warnings = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert (
        "rows_per_class_and_group: column 'sex': expected: each class has at least 1,000 rows in each group of sex"
        in warnings[0]
    )
    found = results(root)
    assert found["success"]
    assert found["counts"]["warnings"] == 2
    entry = next(c for c in found["checks"] if c["column"] == "sex" and c["outcome"] == "fail")
    assert entry["severity"] == "warning"
    assert set(entry["details"]["too_small"]) == {f"{c} & {g}" for c in CLASSES for g in GROUPS}


def test_only_the_stage_itself_is_heard(root, caplog):
    with caplog.at_level(logging.INFO):
        STAGE.execute(params(*EVERY), root)
    assert {r.name for r in caplog.records} == {"equipoise"}
    assert len(caplog.records) == 1


def test_a_declared_group_that_never_occurs_fails_coverage(tmp_path):
    rows, schema = small()
    declared = Attribute(name="sex", groups=(*GROUPS, "never"))
    place(tmp_path, rows, schema.model_copy(update={"sensitive": (declared, schema.sensitive[1])}))
    with pytest.raises(
        RefusedError, match=r"group_coverage: column 'sex'.*observed: 1 of 3 groups short: 'never' 0 rows"
    ):
        STAGE.execute(params({"check": "group_coverage", "severity": "error"}), tmp_path)


def test_missing_targets_constants_and_leaks_are_found(tmp_path):
    rows, schema = small()
    rows["city"] = "Bern"
    rows["income"] = (rows["default"] == CLASSES[0]) * 1.0
    rows.loc[:4, "default"] = None
    place(tmp_path, rows, schema)
    STAGE.execute(
        params({"check": "target_not_missing"}, {"check": "constant_column"}, {"check": "identifier_leakage"}), tmp_path
    )
    failed = {(c["check"], c["column"]): c["observed"] for c in results(tmp_path)["checks"] if c["outcome"] == "fail"}
    assert failed == {
        ("target_not_missing", "default"): "5 rows of 300 not so (1.7%)",
        ("constant_column", "city"): "1",
        ("identifier_leakage", "income"): "balanced accuracy 1",
    }


def test_a_column_of_words_that_hardly_repeat_is_named(tmp_path):
    rows, schema = small()
    rows["city"] = [f"place {i // 2}" for i in range(COUNT)]
    city = schema.columns[2].model_copy(update={"categories": tuple(rows["city"].unique())})
    place(tmp_path, rows, schema.model_copy(update={"columns": (*schema.columns[:2], city, *schema.columns[3:])}))
    STAGE.execute(params({"check": "distinct_values", "at_most": 0.2}), tmp_path)
    failed = [c for c in results(tmp_path)["checks"] if c["outcome"] == "fail"]
    assert [(c["check"], c["column"], c["observed"]) for c in failed] == [("distinct_values", "city", "0.5")]
    assert "data.drop" in failed[0]["advice"]


@pytest.mark.parametrize(
    ("column", "value", "check", "observed"),
    [
        ("city", "Paris", "declared_values", "1 row of 300 not so (0.3%), such as 'Paris'"),
        ("default", "perhaps", "declared_values", "such as 'perhaps'"),
        ("sex", "D", "declared_values", "such as 'D'"),
        ("sex", None, "not_missing", "1 row of 300 not so"),
        ("income", np.inf, "finite", "1 infinite value in 300 rows"),
        ("row_id", 7, "row_id_unique", "2 rows of 300 not so (0.7%), such as '7'"),
        ("weight", -1.0, "weights_not_negative", "such as '-1.0'"),
    ],
)
def test_rows_that_the_schema_does_not_describe_stop_the_run_without_any_check(
    tmp_path, column, value, check, observed
):
    rows, schema = small()
    rows.loc[3, column] = value
    place(tmp_path, rows, schema)
    with pytest.raises(RefusedError, match=rf"{check}: column '{column}'.*{re.escape(observed)}"):
        STAGE.execute(params(), tmp_path)


def test_a_column_of_the_schema_that_is_not_there_or_of_another_type_stops_the_run(tmp_path):
    rows, schema = small()
    place(tmp_path, rows.drop(columns="city").astype({"income": "int64"}, errors="ignore").assign(age="old"), schema)
    with pytest.raises(
        RefusedError, match=r"(?s)columns_exist: the table: .*missing: city.*type: column 'age'.*float64"
    ):
        STAGE.execute(params({"check": "constant_column"}), tmp_path)


def test_checks_of_groups_without_a_sensitive_attribute_are_not_applicable(tmp_path):
    rows, schema = small()
    place(tmp_path, rows, schema.model_copy(update={"sensitive": ()}))
    STAGE.execute(
        params({"check": "group_coverage", "severity": "error"}, {"check": "rows_per_class", "at_least": 1}), tmp_path
    )
    found = results(tmp_path)
    assert found["counts"]["not_applicable"] == 1
    assert found["checks"][-1] == {
        "check": "group_coverage",
        "severity": "error",
        "outcome": "not applicable",
        "why": "there is no sensitive attribute",
        "position": 0,
    }


def test_images_are_checked_by_class_and_never_by_pixel(tmp_path):
    rows = pd.DataFrame(
        {"row_id": range(60), "image": [bytes([i] * 9) for i in range(60)], "label": ["0", "1", "2"] * 20}
    )
    schema = Schema(
        dataset="digits",
        columns=(
            Column(name="image", kind="image", role="feature"),
            Column(name="label", kind="categorical", role="target", feature=False, categories=("0", "1", "2")),
        ),
        target=Target(column="label", kind="multiclass", classes=("0", "1", "2")),
    )
    place(tmp_path, rows, schema)
    STAGE.execute(params(*EVERY), tmp_path)
    found = results(tmp_path)
    assert found["success"]
    assert ("not_missing", "image") in {(c["check"], c.get("column")) for c in found["checks"]}
    idle = {c["check"] for c in found["checks"] if c["outcome"] == "not applicable"}
    assert {"identifier_leakage", "constant_column", "missing_rate", "group_coverage"} <= idle


def test_a_check_that_cannot_be_computed_is_a_fault_and_neither_passes_nor_fails(root):
    rows, schema = small()
    planned, _ = plan(params({"check": "missing_rate", "at_most": 0.5, "columns": ["income"]}).checks, schema, rows)
    found = evaluate([p.expectation for p in planned], rows.drop(columns="income"))
    with pytest.raises(EquipoiseError, match=r"column 'income' could not be computed"):
        outcomes(planned, found)


def test_the_page_is_one_file_that_asks_nothing_of_the_network_and_shows_names_as_text(root):
    STAGE.execute(params(*EVERY, {"check": "missing_rate", "at_most": 0.01}), root)
    page = (root / "data/validate/docs/index.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert not re.search(r"https?://|//cdn|url\(|@import|\bsrc=", page)
    assert "<b>yes</b>" not in page
    assert "&lt;b&gt;yes&lt;/b&gt;" in page
    assert "Checks of small &amp; &lt;i&gt;neat&lt;/i&gt;" in page
    for sentence in (
        "at most 1% of the values are missing",
        "6.7% (20 of 300 rows)",
        "the largest class has at most 20 times",
    ):
        assert sentence in page


def test_names_and_values_from_the_data_are_never_markup_on_the_page(tmp_path):
    odd = "<script>$x</script>"
    rows, schema = small()
    rows.loc[:2, "city"] = odd
    rows = rows.rename(columns={"income": odd})
    first = schema.columns[0].model_copy(update={"name": odd})
    place(tmp_path, rows, schema.model_copy(update={"columns": (first, *schema.columns[1:])}))
    with pytest.raises(RefusedError, match="declared_values"):
        STAGE.execute(params(*EVERY), tmp_path)
    page = (tmp_path / "data/validate/docs/index.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;$x&lt;/script&gt;" in page


def test_the_same_rows_and_checks_give_the_same_bytes(root, tmp_path):
    checks = params(*EVERY, {"check": "rows_per_class_and_group", "at_least": 1000})
    STAGE.execute(checks, root)
    (root / "data/validate").rename(tmp_path / "first")
    STAGE.execute(checks, root)
    for name in ("results.json", "docs/index.html"):
        assert (tmp_path / "first" / name).read_bytes() == (root / "data/validate" / name).read_bytes()


def test_nothing_is_sent_and_nothing_is_left_in_the_temporary_folder(root, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    STAGE.execute(params(*EVERY), root)
    assert list(folder.iterdir()) == []


def test_adult_passes_with_its_known_gap_in_missing_values(tmp_path, mirror, monkeypatch):
    monkeypatch.setenv("EQUIPOISE_MIRROR", str(mirror))
    checks = params(*[{**c, "severity": "error"} for c in EVERY], data={"name": "adult"})
    INGEST.execute(checks, tmp_path)
    STAGE.execute(checks, tmp_path)
    found = results(tmp_path)
    ratio = next(c for c in found["checks"] if c["check"] == "imbalance_ratio")
    assert ratio["details"]["value"] == pytest.approx(37155 / 11687)
    gaps = {
        (c["column"], c["attribute"]): c["details"]["value"]
        for c in found["checks"]
        if c["check"] == "missing_rate_gap"
    }
    assert max(gaps, key=gaps.get) in {("workclass", "age_group"), ("occupation", "age_group")}
