"""The command: help without the heavy libraries, output for programs, errors with their exit code."""

import io
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.console import _Handler, _Plain
from tasks.params import schema
from tasks.progress import measured, shown_by

HEAVY = ("torch", "ray", "prefect", "pandas", "numpy", "sklearn", "dvc", "optuna", "great_expectations")


def equipoise(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`equipoise …` in `root`."""
    command = [sys.executable, "-c", "from flows.command import main; main()", *words]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_is_there_at_once() -> None:
    script = f"import sys, flows.command; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_methods_are_known_without_what_only_training_takes() -> None:
    script = (
        "import sys; from models.recipe import competitors; competitors(['none', 'reweighing']); "
        "print([m for m in ('sklearn', 'scipy', 'imblearn', 'fairlearn', 'ray', 'prefect') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout.strip()) == (0, "[]"), found.stderr


def test_help_names_every_command(repository: Path) -> None:
    shown = equipoise(repository, "--help")
    assert shown.returncode == 0
    for name in ("run", "params", "strategies", "data", "registry", "predict", "report", "doctor"):
        assert name in shown.stdout


def test_wrong_usage_is_exit_code_2(repository: Path, tmp_path: Path) -> None:
    assert equipoise(repository, "rum").returncode == 2
    assert equipoise(repository, "run", "--sett", "a=b").returncode == 2
    outside = equipoise(tmp_path, "run")
    assert outside.returncode == 2
    assert outside.stderr.startswith("equipoise: ")
    assert "params.yaml does not exist" in outside.stderr
    wrong = equipoise(repository, "params", "check", "--set", "search.trails=3", "--set", "split.by=tme")
    assert wrong.returncode == 2
    assert "search.trails: no such key. Did you mean 'budget.trials'?" in wrong.stderr
    assert "split.by: 'tme' is not valid. Did you mean 'time'?" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_a_working_copy_without_dvc_is_said_to_be_none(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes((repository / "params.yaml").read_bytes())
    outside = equipoise(tmp_path, "run")
    assert outside.returncode == 2
    assert "no .dvc folder" in outside.stderr


def test_the_schema_is_printed(repository: Path) -> None:
    assert json.loads(equipoise(repository, "params", "schema").stdout) == json.loads(json.dumps(schema()))


def test_strategies_for_programs_say_what_a_search_needs_to_know(repository: Path) -> None:
    rows = {row["name"]: row for row in json.loads(equipoise(repository, "strategies", "--json").stdout)}
    assert rows["focal"]["slot"] == "loss"
    assert rows["focal"]["hyperparameters"]["gamma"]["low"] < rows["focal"]["hyperparameters"]["gamma"]["high"]
    assert rows["group_dro"]["needs"] == ["groups"]
    assert all(row["source"]["title"] for row in rows.values())
    assert "ldam" in equipoise(repository, "strategies").stdout
    assert json.loads(equipoise(repository, "strategies", "show", "ldam", "--json").stdout) == rows["ldam"]


def test_a_method_and_a_recipe_are_shown_with_all_there_is_to_know(repository: Path) -> None:
    shown = equipoise(repository, "strategies", "show", "ldam").stdout
    for fact in (
        "loss",
        "m_c = C / n_c^(1/4)",
        "binary, multiclass",
        "searched from 0.1 to 1; valid in [0, 2]",
        "1906.07413",
    ):
        assert fact in shown
    assert "Did you mean 'focal'?" in equipoise(repository, "strategies", "show", "focl").stderr
    shown = equipoise(repository, "recipes", "show", "mislas").stdout
    assert "Improving Calibration for Long-Tailed Recognition" in shown
    assert "Did you mean 'mislas'?" in equipoise(repository, "recipes", "show", "misla").stderr


def test_data_sets_for_programs_say_where_they_are(repository: Path) -> None:
    rows = {row["name"]: row for row in json.loads(equipoise(repository, "data", "list", "--json").stdout)}
    assert rows["lending"]["at_hand"] == "bundled"
    assert {
        "adult",
        "acsincome",
        "compas",
        "german",
        "mammography",
        "abalone",
        "mnist-lt",
        "cifar10-lt",
        "digits",
    } <= set(rows)


def test_an_empty_registry_and_an_unknown_model_are_said(repository: Path, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/registry"
    assert json.loads(equipoise(repository, "registry", "list", "--json", "--url", url).stdout) == []
    unknown = equipoise(repository, "registry", "show", "lending", "--url", url)
    assert unknown.returncode == 2
    assert "lending is not in the registry" in unknown.stderr
    missing = equipoise(repository, "predict", "lending@champion", "rows.csv", "--url", url)
    assert missing.returncode == 2
    outside = equipoise(tmp_path, "registry", "list")
    assert outside.returncode == 2
    assert "name it: --url" in outside.stderr


def test_the_report_of_no_run_is_said_to_be_none(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((repository / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    asked = equipoise(tmp_path, "report")
    assert asked.returncode == 2
    assert "Start one: equipoise run" in asked.stderr


def test_doctor_says_what_is_broken_and_what_to_do(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: many\n")
    (tmp_path / "requirements.lock").write_text("no-such-package==1.0\nrich==0.0.1\n")
    examined = equipoise(tmp_path, "doctor", "--json")
    assert examined.returncode == 1
    findings = {(f["about"], f["state"]): f for f in json.loads(examined.stdout)}
    assert "no-such-package" in findings["packages", "broken"]["found"]
    assert "rich" in findings["packages", "note"]["found"]
    assert "seed: found 'many'" in findings["params.yaml", "broken"]["found"]
    assert ("dvc", "broken") in findings
    assert all(f["mend"] for f in findings.values() if f["state"] == "broken")


@pytest.fixture
def plain() -> tuple[Any, io.StringIO]:
    """The view of continuous integration, and what it prints."""
    printed = io.StringIO()
    return _Plain(Console(file=printed, width=200, highlight=False), "starting"), printed


def test_plain_lines_tell_of_steps_and_of_what_they_say(plain: tuple[Any, io.StringIO]) -> None:
    view, printed = plain
    handler = _Handler(view)
    for message, extra in (
        ("reading the data", {"step": "ingest", "event": "begins"}),
        ("60,000 rows [all of them]", {}),
        ("0.4 s", {"step": "ingest", "event": "ends", "done": "ran"}),
        ("up to date", {"step": "split", "event": "ends", "done": "up to date"}),
    ):
        record = logging.makeLogRecord({"msg": message, "levelno": logging.INFO, **extra})
        handler.emit(record)
    assert printed.getvalue().splitlines() == [
        "ingest: reading the data",
        "  60,000 rows [all of them]",
        "ingest: done in 0.4 s",
        "split: up to date",
    ]


def test_a_silent_step_is_spoken_for(plain: tuple[Any, io.StringIO]) -> None:
    view, printed = plain
    view.begin_step("train", "training")
    view.tick()
    assert len(printed.getvalue().splitlines()) == 1
    view._said -= 60
    view.tick()
    assert printed.getvalue().splitlines()[1].startswith("  train: training, ")
    with shown_by(view), measured("searching", 24, "trials") as meter:
        meter.update(6, note="best 0.71")
        view._said -= 60
        view.tick()
    assert "searching: 6 of 24 trials, best 0.71" in printed.getvalue().splitlines()[2]
