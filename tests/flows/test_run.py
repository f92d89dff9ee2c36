"""`equipoise run` with its real flow: exit codes, what is said, and going on after whatever ended it."""

import json
import os
import signal
from typing import Any

import psutil
import pytest

from flows.pipeline import PIPELINE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def versions(copy: Any) -> list[str]:
    """The registered versions of the model."""
    found = copy.command("registry", "list", "--json")
    assert found.returncode == 0, found.stderr
    return [f"{row['name']}@{row['latest']}" for row in json.loads(found.stdout)]


def test_a_first_run_registers_and_leaves_dvc_clean_and_a_second_finds_nothing_to_do(small_copy: Any) -> None:
    first = small_copy.command("run")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Registered lending@v1 (champion)" in first.stdout
    assert "Report: data/report/report.html" in first.stdout
    assert len(small_copy.executions()) == len(PIPELINE)
    assert set(small_copy.executions().values()) == {1}
    assert small_copy.clean()
    assert "Stage 'register' didn't change" in small_copy.dvc("repro").stdout
    assert versions(small_copy) == ["lending@v1"]

    second = small_copy.command("run")
    assert second.returncode == 0
    assert "Nothing to do" in second.stdout
    assert "Prefect" not in second.stdout
    assert set(small_copy.executions().values()) == {1}


def test_a_refusal_of_the_gate_is_exit_code_3_also_when_there_is_nothing_to_do(small_copy: Any) -> None:
    first = small_copy.command("run", "--set", "seed=200")
    assert first.returncode == 3, first.stdout + first.stderr
    assert "for this run: seed: 0 -> 200" in first.stdout
    assert "Refused: not registered" in first.stdout
    assert "Traceback" not in first.stdout + first.stderr
    assert small_copy.clean()
    again = small_copy.command("run", "--set", "seed=200")
    assert again.returncode == 3
    assert "Nothing to do" in again.stdout
    assert versions(small_copy) == []


def test_a_refusal_of_a_check_stops_the_run_and_says_why(small_copy: Any) -> None:
    refuse = small_copy.hold("validate", "refuse")
    refused = small_copy.command("run")
    assert refused.returncode == 3
    assert "Refused: imbalance_ratio: income: expected at most 10, observed 40" in refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr
    assert set(small_copy.executions()) == {"ingest", "validate"}

    refuse.unlink()
    small_copy.hold("split", "fail")
    fault = small_copy.command("run")
    assert fault.returncode == 1
    assert "the disk is on fire" in fault.stderr
    assert small_copy.executions()["ingest"] == 1
    assert small_copy.executions()["validate"] == 2


def test_kill_9_and_ctrl_c_and_then_the_same_command(small_copy: Any) -> None:
    hold = small_copy.hold("tune")
    killed = small_copy.begin("run")
    small_copy.wait_for("tune")
    servers = [p for p in psutil.Process(killed.pid).children() if "flows.server" in p.cmdline()]
    assert len(servers) == 1
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    hold.unlink()
    _, left = psutil.wait_procs(servers, timeout=60)
    assert not left, "Prefect's server runs on after its run was killed"

    hold = small_copy.hold("register")
    interrupted = small_copy.begin("run")
    small_copy.wait_for("register")
    os.kill(interrupted.pid, signal.SIGINT)
    output, _ = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 130, output
    assert "the same command goes on" in output
    hold.unlink()

    finished = small_copy.command("run")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    counts = small_copy.executions()
    assert {name: n for name, n in counts.items() if n != 1} == {"tune": 2, "register": 2}
    assert versions(small_copy) == ["lending@v1"]
    assert small_copy.clean()
