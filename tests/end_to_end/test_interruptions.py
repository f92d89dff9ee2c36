"""Whatever ends a run, the same command goes on from there: no stage twice, no training twice, no version twice."""

from pathlib import Path
from typing import Any

import pytest

from flows.pipeline import PIPELINE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SAME = ("data/tune/trials.json", "data/tune/choice.json", "data/evaluate/metrics.json", "data/audit/audit.json")


def results(clone: Any) -> int:
    """How many trainings of a search that is not over are kept."""
    return len(list(clone.root.glob(".equipoise/search/*/results/*.json")))


def assert_skipped(run: Any, before: str) -> None:
    """The stages before this one were not executed again."""
    names = [step.name for step in PIPELINE]
    for name in names[: names.index(before)]:
        assert f"{name}: up to date" in run.lines, run.output


def test_kill_9_in_every_stage_and_then_the_same_command(clone: Any, finished: Any, small: Path) -> None:
    words = ("run", "--params", str(small))
    for step, before in zip(PIPELINE, (None, *PIPELINE), strict=False):
        run = clone.begin(*words)
        run.wait_for_line(f"{step.name}: {step.says}")
        if step.name == "tune":
            run.wait_until("two trainings were done", lambda: results(clone) >= 2)
        run.kill()
        if step.name == "tune":
            run.wait_until_gone("ray::ImplicitFunc", "raylet", "gcs_server")
        if before is not None:
            assert_skipped(run, before.name)
        assert clone.versions("lending") in ([], ["v1"]) if step.name == "register" else not clone.versions("lending")

    last = clone.command(*words)
    assert last.process.returncode == 0, last.output
    assert clone.versions("lending") == ["v1"]
    assert [row["aliases"] for row in clone.json("registry", "list", "lending")] == [["champion"]]
    assert clone.is_clean()
    for path in SAME:
        assert (clone.root / path).read_bytes() == (finished.clone.root / path).read_bytes(), path
    assert not results(clone)


def test_ctrl_c_in_the_search_ends_it_cleanly_and_it_is_resumed(clone: Any, small: Path) -> None:
    words = ("run", "--params", str(small))
    run = clone.begin(*words)
    run.wait_until("a training was done", lambda: results(clone) >= 1)
    second = clone.command(*words)
    assert second.process.returncode == 1
    assert "Another run works in" in second.output
    assert f"process {run.process.pid} since" in second.output

    run.press_ctrl_c()
    assert run.finish() == 130, run.output
    assert "the same command goes on" in run.lines[-2], run.output
    assert "Traceback" not in run.output, run.output
    assert not run.left_behind()
    kept = results(clone)
    assert kept >= 1

    again = clone.begin(*words)
    again.wait_for_line("tune: searching")
    again.wait_for_line("  search: going on where an interrupted search stopped")
    said = next(line for line in again.lines if "going on where" in line)
    assert int(said.split(" with ")[1].split()[0]) == kept
    assert_skipped(again, "tune")
    assert again.finish() == 0, again.output
    assert clone.versions("lending") == ["v1"]
