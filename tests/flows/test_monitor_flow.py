"""What follows from a look: said where nobody is to act, done where somebody is, and the flows that move aliases."""

import shutil
from pathlib import Path

import pytest
import typer.testing

from flows import respond as responding
from flows.command import app
from flows.promote import promote
from flows.respond import respond
from flows.rollback import rollback
from models.errors import InputError
from tasks.monitoring import watch as watching
from tasks.monitoring.seen import Seen
from tasks.registry import AliasMovedError, open_registry


@pytest.fixture
def copy(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml and a registry of two versions, in which the process works."""
    shutil.copy(repository / "params.yaml", tmp_path)
    registry = open_registry("file://registry", tmp_path)
    for content in (b"1", b"2"):
        version = registry.publish("toy", {"predictor/x.json": content}, run=content.decode(), summary={}).version
        registry.promote("toy", version)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(responding, "server_is_set", lambda: False)
    return tmp_path


def seen(action: str) -> Seen:
    return Seen("toy@v2", action, [{"partition": "x", "note": "", "reasons": ["it is worse"], "action": action}])


def test_without_a_server_it_is_said_and_only_done_when_asked_for(copy: Path) -> None:
    registry = open_registry("file://registry", copy)
    assert respond(seen("none"), "toy") == "nothing to do"
    assert respond(seen("retrain"), "toy") == "retrain: run `equipoise run`, or the monitor with --act"
    assert "equipoise registry rollback toy" in respond(seen("roll back"), "toy")
    assert registry.aliases("toy")["champion"] == "v2"
    assert respond(seen("roll back"), "toy", act=True) == "toy: champion is now v1 (before: v2)"
    assert registry.history("toy")[-1].why == "it is worse"


def test_two_looks_that_ask_for_the_same_rollback_take_one_champion_away(copy: Path) -> None:
    registry = open_registry("file://registry", copy)
    registry.promote("toy", registry.publish("toy", {"predictor/x.json": b"3"}, run="3", summary={}).version)
    looks = [Seen("toy@v3", "roll back", seen("roll back").partitions) for _ in range(2)]
    assert respond(looks[0], "toy", act=True) == "toy: champion is now v2 (before: v3)"
    with pytest.raises(AliasMovedError, match="'champion' was expected to be v3, but someone else has moved it to v2"):
        respond(looks[1], "toy", act=True)
    assert registry.aliases("toy")["champion"] == "v2"
    with pytest.raises(InputError, match="'champion' is no version"):
        rollback.fn("toy", version="champion")


def test_aliases_move_by_flows_as_by_the_command(copy: Path) -> None:
    registry = open_registry("file://registry", copy)
    assert promote.fn("toy@v1", "challenger", "to see") == "toy: challenger is now v1 (before: none)"
    assert promote.fn("toy@v2") == "toy@v2 is champion already"
    assert rollback.fn("toy", "a fault") == "toy: champion is now v1 (before: v2)"
    assert registry.aliases("toy") == {"champion": "v1", "challenger": "v1", **_previous(registry)}
    for name in ("../toy@v1", "toy'; DROP TABLE versions;--@v1", "{{ 7*7 }}@v1", "toy@v1/../v2"):
        with pytest.raises(InputError):
            promote.fn(name)
        with pytest.raises(InputError):
            rollback.fn(name)


def _previous(registry) -> dict[str, str]:
    return {alias: version for alias, version in registry.aliases("toy").items() if alias == "previous"}


@pytest.mark.parametrize(("action", "code"), [("none", 0), ("retrain", 4), ("roll back", 5)])
def test_the_command_ends_with_a_code_for_each_action(
    copy: Path, monkeypatch: pytest.MonkeyPatch, action, code
) -> None:
    monkeypatch.setattr(watching, "watch", lambda *_: seen(action))
    done = typer.testing.CliRunner().invoke(app, ["monitor", "toy"])
    assert done.exit_code == code, done.output
    assert f"toy@v2: {'nothing to do' if action == 'none' else action}" in done.output


def test_a_retraining_here_is_of_the_model_that_was_looked_at(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple] = []
    monkeypatch.setattr("flows.drive.drive", lambda *call, **_: begun.append(call[1:3]) or 0)
    mine = copy / "mine.yaml"
    mine.write_text("registry: {name: toy}\n")
    with pytest.raises(InputError, match=r"'lending', and the monitor looked at 'toy'.*--params FILE"):
        respond(seen("retrain"), "toy", act=True)
    said = respond(seen("retrain"), "toy", params_file=mine)
    assert said == f"retrain: run `equipoise run --params {mine}`, or the monitor with --act"
    done = respond(seen("retrain"), "toy", {"split.by": "time", "data.until": None}, act=True, params_file=mine)
    assert done == "retrained here; the run ended with exit code 0"
    assert begun == [(['split.by="time"', "data.until=null"], mine)]


def test_acting_in_another_registry_than_that_of_the_parameters_is_refused(copy: Path) -> None:
    command = ["monitor", "toy", "--act", "--url", "file://elsewhere"]
    done = typer.testing.CliRunner().invoke(app, command)
    assert isinstance(done.exception, InputError)
    assert "--url names another" in str(done.exception)
