"""What is refused, and how a script can tell: 3 for data and models that are not good enough, 2 for wrong input."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.lending import generate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_default_policy_refuses_a_model_that_learned_from_torn_labels(
    clone: Any, small: Path, tmp_path: Path
) -> None:
    """A user's own CSV whose labels have nothing to do with the rows: whatever is trained on it is a bad candidate."""
    drawn = generate(3000)
    torn = pd.DataFrame(drawn.columns)
    torn["defaulted"] = np.random.default_rng(0).permutation(torn["defaulted"].to_numpy())
    torn.to_csv(tmp_path / "torn.csv", index=False)
    policy = next(text for text in (clone.root / "params.yaml").read_text().split("\n\n") if text.startswith("gates:"))
    (tmp_path / "own.yaml").write_text(
        small.read_text().partition("gates:")[0].replace("data: {rows: 4000}", f"data: {{path: {tmp_path}/torn.csv}}")
        + f"target: {{column: defaulted, positive: 'yes'}}\nsensitive: [sex, age_band, region]\n{policy}\n"
    )
    run = clone.command("run", "--params", str(tmp_path / "own.yaml"))
    assert run.process.returncode == 3, run.output
    assert "Refused: not registered" in run.lines
    verdict = clone.read("data/gate/verdict.json")
    assert verdict["verdict"] == "fail"
    failed = {rule["rule"]["metric"] for rule in verdict["rules"] if rule["outcome"] == "fail"}
    assert {"balanced_accuracy", "roc_auc"} <= failed
    assert (clone.root / "data/report/report.html").exists()
    assert not (clone.root / "registry").exists()
    assert clone.is_clean()
    assert clone.command("run", "--params", str(tmp_path / "own.yaml")).process.returncode == 3


def test_a_check_of_the_data_that_fails_stops_the_run_before_anything_is_trained(clone: Any, small: Path) -> None:
    check = "checks=[{check: imbalance_ratio, at_most: 2, severity: error}]"
    run = clone.command("run", "--params", str(small), "--set", check)
    assert run.process.returncode == 3, run.output
    assert "imbalance_ratio" in run.lines[-2]
    assert "at most 2" in run.lines[-2]
    assert "defaulted" in run.lines[-2]
    assert "Traceback" not in run.output
    assert (clone.root / "data/validate/docs/index.html").exists() or not (clone.root / "data/validate").exists()
    assert not (clone.root / "data/tune").exists()


@pytest.fixture(scope="module")
def untouched(cloner: Any, server: str) -> Any:
    """A clone in which nothing has run, and nothing will."""
    made = cloner()
    made.environment["PREFECT_API_URL"] = server
    return made


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("search.budget.trails=3", "Did you mean 'trials'?"),
        ("search.budget.trials=many", "search.budget.trials"),
        ("search.recipes=[fokal]", "Did you mean 'focal'?"),
        ("gates.rules=[]", "a policy with no rules"),
        ("data.name=adlut", "Did you mean 'adult'?"),
        ("split.test=0.5", "make it 1"),
    ],
)
def test_wrong_params_are_exit_code_2_and_change_nothing(untouched: Any, setting: str, said: str) -> None:
    before = (untouched.root / "params.yaml").read_bytes()
    run = untouched.command("run", "--set", setting)
    assert run.process.returncode == 2, run.output
    assert said in run.output
    assert "Traceback" not in run.output
    assert (untouched.root / "params.yaml").read_bytes() == before
    assert not (untouched.root / "data/ingest").exists()
    assert not (untouched.root / "dvc.lock").exists()
