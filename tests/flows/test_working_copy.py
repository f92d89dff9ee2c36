"""One working copy, many who want it: runs, DVC, edits, other data, another champion. Without Prefect, which has no part in it."""

import json
import os
import signal
import subprocess
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_second_run_is_refused_and_told_who_is_there_or_waits(small_copy: Any) -> None:
    hold = small_copy.hold("split")
    first = small_copy.begin_stages()
    small_copy.wait_for("split")

    refused = small_copy.stages()
    assert refused.returncode == 1
    assert f"process {first.pid} since" in refused.stdout
    assert "--wait" in refused.stdout
    assert small_copy.command("run").returncode == 1

    waiting = small_copy.begin_stages("--wait")
    hold.unlink()
    assert first.wait(timeout=120) == 0
    output, _ = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, output
    assert "Waiting for it." in output
    assert set(small_copy.executions().values()) == {1}
    assert small_copy.clean()


def test_dvc_repro_and_a_run_refuse_each_other(small_copy: Any) -> None:
    hold = small_copy.hold("split")
    first = small_copy.begin_stages()
    small_copy.wait_for("split")
    refused = small_copy.dvc("repro")
    assert refused.returncode != 0
    assert "is busy" in refused.stderr
    assert first.poll() is None
    os.kill(first.pid, signal.SIGKILL)
    first.wait()

    repro = small_copy.begin_dvc("repro")
    small_copy.wait_for("split", times=2)
    busy = small_copy.stages()
    assert busy.returncode == 1
    assert "DVC is at work" in busy.stdout
    hold.unlink()
    output, _ = repro.communicate(timeout=120)
    assert repro.returncode == 0, output
    assert small_copy.clean()
    assert small_copy.stages().stdout.startswith("due:\n")
    assert {name: n for name, n in small_copy.executions().items() if n != 1} == {"split": 2}


def test_a_killed_run_leaves_no_lock(small_copy: Any) -> None:
    hold = small_copy.hold("ingest")
    first = small_copy.begin_stages()
    small_copy.wait_for("ingest")
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    hold.unlink()
    # The number of the killed process may be in use again: here it is this test's own.
    table = small_copy.root / ".dvc" / "tmp" / "rwlock"
    table.write_text(table.read_text().replace(str(first.pid), str(os.getpid())))
    lock = small_copy.root / ".equipoise" / "lock"
    lock.write_text(lock.read_text().replace(str(first.pid), str(os.getpid())))
    assert small_copy.stages().returncode == 0
    assert small_copy.clean()
    table.write_text("")  # as of a process that was killed while it wrote
    assert small_copy.stages().returncode == 0


def test_dvc_repro_and_a_run_record_the_same(small_copy: Any, tmp_path: Any) -> None:
    assert small_copy.stages("seed=4").returncode == 0
    by_run = (small_copy.root / "dvc.lock").read_bytes()
    (small_copy.root / "dvc.lock").unlink()
    subprocess.run(["rm", "-rf", ".dvc/cache", "registry", "data/train"], cwd=small_copy.root, check=True)
    reproduced = small_copy.dvc("repro", "--force")
    assert reproduced.returncode == 0, reproduced.stderr
    assert (small_copy.root / "dvc.lock").read_bytes() == by_run


def test_an_override_is_gone_with_the_next_run_and_what_was_known_is_taken_from_the_cache(small_copy: Any) -> None:
    base = (small_copy.root / "params.yaml").read_text()
    assert small_copy.stages().returncode == 0
    overridden = small_copy.stages("seed=5")
    assert "train ran" in overridden.stdout
    assert small_copy.clean()
    assert "workspace" in small_copy.dvc("params", "diff").stdout
    before = small_copy.executions()
    back = small_copy.stages()
    assert "train restored" in back.stdout
    assert "resample up to date" in back.stdout
    assert small_copy.executions() == before
    assert small_copy.clean()
    assert (small_copy.root / "params.yaml").read_text() == base


def test_what_changes_while_a_stage_runs_is_not_recorded(small_copy: Any) -> None:
    hold = small_copy.hold("split")
    running = small_copy.begin_stages()
    small_copy.wait_for("split")
    code = small_copy.root / "tasks" / "split.py"
    code.write_text(code.read_text() + "# changed meanwhile\n")
    hold.unlink()
    output, _ = running.communicate(timeout=120)
    assert running.returncode == 2
    assert "tasks/split.py changed while it ran" in output
    assert small_copy.stages().returncode == 0
    assert small_copy.executions()["split"] == 2
    assert small_copy.clean()


def test_wrong_recipes_are_found_before_anything_runs_and_change_nothing(small_copy: Any) -> None:
    base = (small_copy.root / "params.yaml").read_bytes()
    wrong = small_copy.stages("search.recipes=[fokal]", "--check")
    assert wrong.returncode == 2
    assert "Did you mean 'focal'?" in wrong.stdout
    assert (small_copy.root / "params.yaml").read_bytes() == base
    assert not small_copy.executions()


def test_own_data_that_changed_are_read_again(small_copy: Any) -> None:
    own = small_copy.root / "own.csv"
    own.write_text("a,y\n1,0\n")
    settings = ("data.path=own.csv", "target.column=y")
    assert small_copy.stages(*settings).returncode == 0
    assert small_copy.stages(*settings).stdout.startswith("due:\n")
    own.write_text("a,y\n2,0\n")
    again = small_copy.stages(*settings)
    assert again.stdout.startswith("due: ingest\n")
    assert small_copy.executions()["ingest"] == 2
    assert small_copy.executions()["split"] == 2
    assert small_copy.clean()


def test_a_version_that_the_registry_lost_is_registered_again(small_copy: Any) -> None:
    assert small_copy.stages().returncode == 0
    subprocess.run(["rm", "-rf", "registry"], cwd=small_copy.root, check=True)
    again = small_copy.stages()
    assert again.stdout.startswith("due: register\n")
    assert "gate up to date" in again.stdout
    listed = small_copy.command("registry", "list", "lending", "--json")
    assert [row["aliases"] for row in json.loads(listed.stdout)] == [["champion"]]
    assert small_copy.clean()


def test_a_model_is_judged_again_when_another_became_champion_before_it_was_registered(small_copy: Any) -> None:
    assert small_copy.stages().returncode == 0
    hold = small_copy.hold("report")
    running = small_copy.begin_stages("seed=5")
    small_copy.wait_for("report", times=2)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    hold.unlink()
    # Meanwhile another run, in another clone with the same registry, makes its model champion.
    script = (
        "from tasks.registry import open_registry; from pathlib import Path; r = open_registry('file://registry');"
        "v = r.publish('lending', {'a.json': b'{}'}, 'f' * 64, {}); r.promote('lending', v.version)"
    )
    small_copy.python(script)
    judged = small_copy.executions()["gate"]
    again = small_copy.stages("seed=5")
    assert again.returncode == 0, again.stdout
    assert "the champion is v2, and the verdict compares with v1" in again.stderr + again.stdout
    assert small_copy.executions()["gate"] == judged + 1
    listed = small_copy.command("registry", "show", "lending", "--json")
    assert json.loads(listed.stdout)["aliases"] == {"champion": "v3", "previous": "v2"}


def test_what_a_refused_attempt_left_gives_way_to_what_was_recorded(small_copy: Any) -> None:
    assert small_copy.stages().returncode == 0
    left = small_copy.root / "data" / "validate" / "content.json"
    recorded = left.read_bytes()
    left.unlink()
    left.write_text("written by an attempt that then refused: DVC's cache does not have it")
    again = small_copy.stages()
    assert again.returncode == 0, again.stdout + again.stderr
    assert left.read_bytes() == recorded
    assert set(small_copy.executions().values()) == {1}
    assert small_copy.clean()
