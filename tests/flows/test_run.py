"""`equipoise run` and DVC: what is up to date is left alone, what was killed goes on, two do not meet, nothing is lost."""

import json
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def registered(copy: Any) -> list[dict[str, Any]]:
    """The versions of the model."""
    found = copy.command("registry", "list", "lending", "--json")
    assert found.returncode == 0, found.stderr
    rows: list[dict[str, Any]] = json.loads(found.stdout)
    return rows


def test_a_first_run_registers_and_leaves_dvc_clean(small_copy: Any) -> None:
    first = small_copy.command("run")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Registered lending@v1" in first.stdout
    assert "data/report/report.html" in first.stdout
    assert set(small_copy.executions().values()) == {1}
    assert len(small_copy.executions()) == 11
    assert small_copy.clean()
    assert "Stage 'register' didn't change" in small_copy.dvc("repro").stdout
    assert [row["version"] for row in registered(small_copy)] == ["v1"]

    second = small_copy.command("run")
    assert second.returncode == 0
    assert "Nothing to do" in second.stdout
    assert set(small_copy.executions().values()) == {1}
