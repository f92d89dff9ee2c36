"""DVC's record of the stages, in a small working copy of real DVC."""

import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from dvc.repo import Repo

from flows.ledger import FRESH_SECONDS, Ledger
from models.errors import InputError

PIPELINE = """
stages:
  first: {cmd: "true", params: [data], deps: [rows], outs: [one]}
  second: {cmd: "true", deps: [rows], outs: [two]}
"""


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("EQUIPOISE_REMOTE", raising=False)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    Repo.init(str(tmp_path)).close()
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "params.yaml").write_text("data: {b: 1, a: 2}\n")
    (tmp_path / "rows").write_text("rows")
    monkeypatch.chdir(tmp_path)  # where DVC looks for stages by name
    return tmp_path


def test_parameters_in_another_order_and_spelling_are_the_same_for_a_stage_that_is_restored(copy: Path) -> None:
    assert Ledger(copy).run("first", lambda: copy.joinpath("one").write_text("made") and None) == "ran"
    (copy / "one").unlink()
    (copy / "params.yaml").write_text("data: {a: 2.0, b: 1}\n")
    ledger = Ledger(copy)
    assert set(ledger.outdated("first")) == {"first"}
    assert ledger.run("first", lambda: pytest.fail("it was known")) == "restored"
    assert (copy / "one").read_text() == "made"


def test_what_changed_long_after_the_last_stage_looked_at_it_is_looked_at_again(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(copy)
    ledger.run("first", lambda: copy.joinpath("one").write_text("made") and None)
    (copy / "rows").write_text("other rows")
    later = time.monotonic() + FRESH_SECONDS
    monkeypatch.setattr("flows.ledger.time", SimpleNamespace(monotonic=lambda: later))
    assert ledger.run("second", lambda: copy.joinpath("two").write_text("made") and None) == "ran"
    assert ledger.outdated("second") == {}


def test_what_changes_while_a_stage_runs_is_not_recorded(copy: Path) -> None:
    ledger = Ledger(copy)
    with pytest.raises(InputError, match=r"params\.yaml changed while it ran"):
        ledger.run("first", lambda: [(copy / n).write_text("data: {a: 3}\n") for n in ("one", "params.yaml")] and None)
