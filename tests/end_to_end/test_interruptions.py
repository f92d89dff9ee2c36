"""Whatever ends a run, the same command goes on from there: no stage twice, no training twice, no version twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.pipeline import PIPELINE
from tests.s3_server import BUCKET, Server, moto_server

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


@pytest.fixture
def storage() -> Iterator[Server]:
    """An S3 server on loopback."""
    with moto_server() as server:
        yield server


def stored(storage: Server) -> int:
    """How many trainings a fresh clone would know of."""
    return int(storage.client().list_objects_v2(Bucket=BUCKET, Prefix="dvc/search/")["KeyCount"])


def test_kill_9_in_every_stage_and_then_the_same_command(
    cloner: Any, server: str, storage: Server, finished: Any, small: Path
) -> None:
    """Up to the search in one clone; from there on in a fresh one, with what the first has put into a bucket."""
    shared = {"PREFECT_API_URL": server, "EQUIPOISE_REMOTE": f"s3://{BUCKET}/dvc", **storage.environment}
    words = ("run", "--params", str(small))
    clone, kept, survived = cloner(), 0, 0
    clone.environment |= shared
    for step, before in zip(PIPELINE, (None, *PIPELINE), strict=False):
        run = clone.begin(*words)
        run.wait_for_line(f"{step.name}: {step.says}")
        if before is not None and before.name == "tune":
            assert f"search: going on where an interrupted search stopped, with {kept} results" in run.output
            for earlier in PIPELINE[: PIPELINE.index(before)]:
                assert f"{earlier.name}: restored" in run.lines, run.output
        elif before is not None:
            assert_skipped(run, before.name)
        survived += before is not None
        if step.name == "tune":
            run.wait_until("two trainings were stored", lambda: stored(storage) >= 2)
        run.kill()
        if step.name == "tune":
            run.wait_until_gone("ray::ImplicitFunc", "raylet", "gcs_server")
            assert not clone.versions("lending")
            clone, kept = cloner(), stored(storage)
            clone.environment |= shared
        else:
            versions = clone.versions("lending")
            assert versions in ([], ["v1"]) if step.name == "register" else not versions

    last = clone.command(*words)
    assert last.process.returncode == 0, last.output
    assert clone.versions("lending") == ["v1"]
    assert [row["aliases"] for row in clone.json("registry", "list", "lending")] == [["champion"]]
    assert clone.is_clean()
    for path in SAME:
        assert (clone.root / path).read_bytes() == (finished.clone.root / path).read_bytes(), path
    assert not results(clone)
    print(f"kill -9 in each stage of a run: survived {survived + 1} / {len(PIPELINE)}")


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
