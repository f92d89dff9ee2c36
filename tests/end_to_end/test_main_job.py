"""From the source to a registered version with a verdict, with no server set up; and the same by `dvc repro` in another clone."""

import csv
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flows.pipeline import PIPELINE
from tasks.params import parse_yaml, read_yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COMPARED = (
    "data/tune/trials.json",
    "data/tune/choice.json",
    "data/evaluate/evaluation.json",
    "data/evaluate/metrics.json",
    "data/audit/audit.json",
    "data/audit/metrics.json",
    "data/gate/verdict.json",
    "data/report/report.html",
)


def test_a_run_goes_through_every_stage_and_ends_registered_with_its_verdict(finished: Any) -> None:
    clone, run = finished.clone, finished.run
    for step in PIPELINE:
        assert f"{step.name}: {step.says}" in run.lines
        assert any(line.startswith(f"{step.name}: done in ") for line in run.lines), step.name
    assert "Registered lending@v1 (champion)" in run.lines
    assert clone.read("data/gate/verdict.json")["verdict"] == "pass"
    assert "Report: data/report/report.html" in run.lines
    assert (clone.root / "data/report/report.html").stat().st_size > 50_000
    assert clone.versions("lending") == ["v1"]


def test_nothing_of_the_truth_about_the_embedded_data_reaches_a_model(finished: Any) -> None:
    import pandas as pd

    root = finished.clone.root
    truth = set(pd.read_parquet(root / "data/ingest/truth.parquet").columns) - {"row_id"}
    assert truth
    for path in [root / "data/ingest/rows.parquet", *(root / "data/resample").glob("*.parquet")]:
        assert not truth & set(pd.read_parquet(path).columns), path
    assert not list((root / "registry").rglob("*truth*"))


def test_every_trial_is_in_the_record_and_doing_nothing_competed(finished: Any) -> None:
    record = finished.clone.read("data/tune/trials.json")
    assert [trial["trial"] for trial in record["trials"]] == list(range(len(record["trials"])))
    assert len({trial["training"] for trial in record["trials"]}) == 8
    assert {"none", "prior_threshold", "smote"} == {trial["recipe"] for trial in record["trials"]}
    assert {trial["learner"] for trial in record["trials"]} == {"mlp", "tabm", "trees"}
    assert all(trial["status"] == "finished" for trial in record["trials"])
    chosen = finished.clone.read("data/tune/choice.json")
    assert record["trials"][chosen["trial"]]["recipe"] == chosen["recipe"]


def test_afterwards_dvc_is_clean_and_repro_does_nothing(finished: Any, tmp_path: Path) -> None:
    copy = finished.clone.copy(tmp_path / "copy")
    before = (copy.root / "dvc.lock").read_bytes()
    assert copy.is_clean()
    repro = copy.dvc("repro")
    assert repro.process.returncode == 0, repro.output
    assert [line for line in repro.lines if "didn't change" in line][-1] == "Stage 'register' didn't change, skipping"
    assert "Running stage" not in repro.output
    assert (copy.root / "dvc.lock").read_bytes() == before


def test_a_second_run_finds_nothing_to_do_before_anything_heavy_starts(finished: Any, small: Path) -> None:
    """Of the clone itself: nothing changes in it."""
    again = finished.clone.command("run", "--params", str(small))
    assert again.process.returncode == 0, again.output
    assert "Nothing to do: every stage is up to date." in again.lines
    assert "Registered lending@v1 (champion)" in again.lines
    assert "Prefect" not in again.output


def test_dvc_repro_in_a_fresh_clone_gives_the_same_bytes(finished: Any, cloner: Any) -> None:
    fresh = cloner()
    shutil.copy(finished.clone.root / "params.yaml", fresh.root / "params.yaml")
    repro = fresh.dvc("repro")
    assert repro.process.returncode == 0, repro.output
    for path in COMPARED:
        assert (fresh.root / path).read_bytes() == (finished.clone.root / path).read_bytes(), path
    assert fresh.versions("lending") == ["v1"]
    nothing = fresh.command("run")
    assert "Nothing to do: every stage is up to date." in nothing.lines


def test_dvc_shows_metrics_params_and_plots(finished: Any, small: Path, tmp_path: Path) -> None:
    copy = finished.clone.copy(tmp_path / "copy")
    measured = copy.read("data/evaluate/metrics.json")

    shown = json.loads(copy.dvc("metrics", "show", "--json").output)[""]["data"]
    assert shown["data/evaluate/metrics.json"]["data"] == measured
    assert 0 <= shown["data/audit/metrics.json"]["data"]["sex"]["equalized_odds_difference"] <= 1
    assert "balanced_accuracy" in copy.dvc("metrics", "show").output
    against = copy.dvc("metrics", "diff")
    assert f"{measured['roc_auc']:.5g}"[:6] in next(line for line in against.lines if "roc_auc" in line)

    changed = json.loads(copy.dvc("params", "diff", "--json").output)["params.yaml"]
    committed = subprocess.check_output(["git", "show", "HEAD:params.yaml"], cwd=copy.root, text=True)
    before, after = parse_yaml(committed, "HEAD"), read_yaml(small)
    for section, key in (("data", "rows"), ("model", "epochs")):
        said = changed[f"{section}.{key}"]
        assert (said["old"], said["new"]) == (before[section][key], after[section][key])
    said = changed["search.budget.trials"]
    assert (said["old"], said["new"]) == (before["search"]["budget"]["trials"], after["search"]["budget"]["trials"])

    plots = copy.dvc("plots", "show", "--json", "--split")
    found = json.loads(plots.output[plots.output.index("{") :])["data"]
    assert set(found) == {f"data/evaluate/{name}.json" for name in ("roc", "precision_recall", "reliability")}
    page = copy.dvc("plots", "show")
    assert page.process.returncode == 0, page.output
    html = (copy.root / "dvc_plots/index.html").read_text(encoding="utf-8")
    for title in ("ROC curve on test rows", "Precision and recall on test rows", "Reliability on test rows"):
        assert title in html


def test_the_champion_scores_a_csv_of_raw_columns(finished: Any, tmp_path: Path) -> None:
    import pandas as pd

    clone = finished.clone
    rows = pd.read_parquet(clone.root / "data/ingest/rows.parquet")
    judged = pd.read_parquet(clone.root / "data/evaluate/predictions.parquet").set_index("row_id")
    asked = rows[rows["row_id"].isin(judged.index)].head(50)
    classes = clone.read("data/ingest/schema.json")["target"]["classes"]
    asked.drop(columns=["row_id", "defaulted"]).to_csv(tmp_path / "raw.csv", index=False)

    run = clone.command("predict", "lending@champion", str(tmp_path / "raw.csv"), "--output", str(tmp_path / "out.csv"))
    assert run.process.returncode == 0, run.output
    with (tmp_path / "out.csv").open() as file:
        scored = list(csv.DictReader(file))
    assert len(scored) == len(asked)
    for row, (_, expected) in zip(scored, judged.loc[asked["row_id"]].iterrows(), strict=True):
        assert row["decision"] == classes[int(expected["decision"])]
        for position, name in enumerate(classes):
            assert float(row[f"p_{name}"]) == pytest.approx(expected[f"p_{position}"], abs=1e-6)

    wrong = clone.command("predict", "lending@chamption", str(tmp_path / "raw.csv"))
    assert wrong.process.returncode == 2
    assert "Did you mean 'champion'?" in wrong.output
