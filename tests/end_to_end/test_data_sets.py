"""The whole run on real data: two tables from the mirror, and images."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

IMAGES = """
checks:
  - {check: rows_per_class, at_least: 4, severity: error}
model: {epochs: 1, batch_size: 128, refits: 1}
search: {recipes: [none], budget: {trials: 2}, rounds: 1, rungs: 1}
evaluate: {bootstrap: 100}
gates: {rules: [{metric: balanced_accuracy, at_least: 0.05}]}
"""


@pytest.mark.parametrize(
    ("name", "attributes"), [("adult", {"sex", "race"}), ("mammography", set())], ids=["adult", "mammography"]
)
def test_a_table_of_the_mirror_ends_with_a_verdict(
    clone: Any, small: Path, mirror: Path, name: str, attributes: set[str]
) -> None:
    clone.environment["EQUIPOISE_MIRROR"] = str(mirror)
    settings = ["--set", f"data.name={name}", "--set", "search.budget.trials=6"]
    if name == "adult":
        settings += ["--set", "split.by=official"]
    run = clone.command("run", "--params", str(small), *settings)
    assert run.process.returncode == 0, run.output
    assert f"Registered {name}@v1 (champion)" in run.lines
    verdict, audit = clone.read("data/gate/verdict.json"), clone.read("data/audit/audit.json")
    assert verdict["verdict"] in ("pass", "insufficient evidence")
    assert attributes <= set(audit["attributes"])
    assert bool(audit["attributes"]) == bool(attributes)
    assert clone.is_clean()


def test_a_long_tail_of_images_ends_with_a_verdict(clone: Any, mirror: Path, tmp_path: Path) -> None:
    clone.environment["EQUIPOISE_MIRROR"] = str(mirror)
    (tmp_path / "images.yaml").write_text("data: {name: mnist-lt, imbalance_ratio: 100, rows: 1500}" + IMAGES)
    run = clone.command("run", "--params", str(tmp_path / "images.yaml"))
    assert run.process.returncode in (0, 3), run.output
    assert "Refused" in run.output or "Registered mnist-lt@v1 (champion)" in run.lines
    card = clone.read("data/ingest/card.json")
    rows = sorted(card["classes"].values()) if isinstance(card["classes"], dict) else card["classes"]
    assert rows
    assert {trial["learner"] for trial in clone.read("data/tune/trials.json")["trials"]} == {"resnet32"}
    assert clone.read("data/gate/verdict.json")["verdict"] in ("pass", "fail", "insufficient evidence")
    assert len(clone.read("data/evaluate/evaluation.json")["classes"]) == 10
