"""The register stage: only a pass is registered, once, whatever is killed when, and never over a champion that it was not compared with."""

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from models.errors import EquipoiseError, InputError, RefusedError
from tasks.learned import write_learned
from tasks.params import Params, parse_params
from tasks.register import STAGE
from tasks.registry import Registry, open_registry
from tasks.registry.registry import StoredRegistry
from tests.tasks.conftest import nothing_to_learn_from

Make = Callable[..., Path]


def params(**sections: Any) -> Params:
    """The smallest configuration, for a model called 'toy'."""
    return parse_params(
        {
            "search": {"recipes": ["none"]},
            "gates": {"rules": [{"metric": "accuracy", "at_least": 0.5}]},
            "registry": {"name": "toy"},
            **sections,
        }
    )


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def verdict(outcome: str = "pass", champion: str | None = None) -> dict[str, Any]:
    known = {"version": champion, "fits": True, "why": ""} if champion else None
    return {"verdict": outcome, "first": champion is None, "champion": known, "rules": [], "summary": "It is good."}


@pytest.fixture
def working_copy(tmp_path: Path) -> Make:
    """What the stages before leave; `weights` tells runs apart. The same arguments write the same files."""

    def made(weights: str = "a", outcome: str = "pass", champion: str | None = None) -> Path:
        data = tmp_path / "data"
        write(data / "ingest/schema.json", {"dataset": "toy"})
        write(
            data / "ingest/card.json",
            {"source": {"format": "csv", "files": [{"name": "https://u:secret@host/toy.csv"}]}},
        )
        pd.DataFrame({"row_id": [0, 1], "x": [1.0, 2.0]}).to_parquet(data / "ingest/rows.parquet")
        nothing_to_learn_from(tmp_path)
        (data / "split").mkdir(exist_ok=True)
        pd.DataFrame({"row_id": [0, 1], "part": ["train", "test"]}).to_parquet(data / "split/split.parquet")
        write(data / "tune/trials.json", {"trials": []})
        write(data / "tune/choice.json", {"trial": 0, "recipe": "none", "learner": "mlp", "values": {}})
        write(data / "train/predictor/predictor.json", {"recipe": "none"})
        (data / "train/predictor/weights.safetensors").write_bytes(weights.encode() * 50_000)
        write(data / "train/summary.json", {"seeds": [{"seed": 11}, {"seed": 12}]})
        write_learned(data / "train", pd.DataFrame({"x": [1.0]}), ["x"], None)
        write(data / "evaluate/evaluation.json", {"rows": 1})
        write(data / "evaluate/metrics.json", {"balanced_accuracy": 0.8, "equalized_odds_difference": None})
        write(data / "evaluate/profile.json", {"rows": 1})
        write(data / "audit/audit.json", {"attributes": {}})
        write(data / "gate/verdict.json", verdict(outcome, champion))
        (data / "report").mkdir(exist_ok=True)
        (data / "report/report.html").write_text("<p>report</p>")
        return tmp_path

    return made


def registration(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "data/register/registration.json").read_text())
    return content


def registry_of(root: Path) -> Registry:
    return open_registry("file://registry", root)


def test_a_pass_becomes_a_version_and_the_champion(working_copy):
    root = working_copy()
    STAGE.execute(params(), root)
    registry = registry_of(root)
    loaded = registry.load("toy", "champion")
    assert registration(root) == {
        "registered": True, "name": "toy", "version": "v1", "digest": loaded.manifest.digest, "previous_champion": None,
    }  # fmt: skip
    assert set(loaded.manifest.files) == {
        "predictor/predictor.json", "predictor/weights.safetensors", "params.json", "identity.json", "schema.json", "card.json",
        "trials.json", "choice.json", "start.json", "train.json", "learned.safetensors", "evaluation.json", "metrics.json", "profile.json", "audit.json", "verdict.json", "report.html",
    }  # fmt: skip
    assert loaded.manifest.summary["metrics"]["balanced_accuracy"] == 0.8
    weights = (root / "data/train/predictor/weights.safetensors").read_bytes()
    assert (loaded.directory / "predictor/weights.safetensors").read_bytes() == weights
    assert registry.history("toy")[0].why == "It is good."


def test_a_version_says_what_it_came_from(working_copy):
    root = working_copy()
    (root / "requirements.lock").write_text("torch==2\n")
    STAGE.execute(
        params(data={"name": None, "path": "s3://key:pa55phrase@bucket/toy.csv"}, target={"column": "y"}, seed=7), root
    )
    directory = registry_of(root).load("toy", "champion").directory
    record = json.loads((directory / "identity.json").read_text())
    assert record["params"] == json.loads((directory / "params.json").read_text())
    assert record["params"]["search"]["recipes"] == ["none"]
    assert record["params"]["gates"]["rules"][0]["metric"] == "accuracy"
    assert set(record["params"]) == set(Params.model_fields) - {"monitor"}
    assert record["seeds"] == {"seed": 7, "refits": [11, 12]}
    assert set(record["data"]["tables"]) == {"rows.parquet", "split.parquet"}
    assert len(record["lock"]["requirements.lock"]) == 64
    assert record["platform"]["device"] in ("cpu", "cuda")
    everything = b"".join(p.read_bytes() for p in (root / "registry").rglob("*") if p.is_file())
    assert b"secret" not in everything
    assert b"pa55phrase" not in everything


@pytest.mark.parametrize("outcome", ["fail", "insufficient evidence"])
def test_without_a_pass_nothing_is_registered_and_the_reason_is_recorded(working_copy, outcome):
    root = working_copy(outcome=outcome)
    STAGE.execute(params(), root)
    assert registration(root) == {"registered": False, "why": f"The verdict is {outcome}: It is good."}
    assert not (root / "registry").exists()


def test_the_next_champion_keeps_the_one_before_for_rollback(working_copy):
    STAGE.execute(params(), working_copy())
    root = working_copy("b", champion="v1")
    STAGE.execute(params(), root)
    assert (registration(root)["version"], registration(root)["previous_champion"]) == ("v2", "v1")
    registry = registry_of(root)
    assert registry.aliases("toy") == {"champion": "v2", "previous": "v1"}
    registry.rollback("toy")
    assert registry.load("toy", "champion").version == "v1"


def test_running_it_again_registers_nothing_and_writes_the_same_bytes(working_copy):
    root = working_copy()
    STAGE.execute(params(), root)
    path = root / "data/register/registration.json"
    before = path.read_bytes()
    path.unlink()
    STAGE.execute(params(resources={"concurrent_trials": 3}), root)
    assert path.read_bytes() == before
    assert registry_of(root).versions("toy") == ["v1"]
    assert len(registry_of(root).history("toy")) == 1


def test_the_same_model_judged_again_against_itself_is_the_same_version(working_copy):
    STAGE.execute(params(), working_copy())
    root = working_copy(champion="v1")
    STAGE.execute(params(), root)
    assert registration(root)["version"] == "v1"
    assert registry_of(root).versions("toy") == ["v1"]


def test_an_old_model_that_beats_the_champion_is_made_champion_again_without_a_new_version(working_copy):
    STAGE.execute(params(), working_copy())
    STAGE.execute(params(), working_copy("b", champion="v1"))
    root = working_copy("a", champion="v2")
    STAGE.execute(params(), root)
    assert registration(root)["version"] == "v1"
    assert registration(root)["previous_champion"] == "v2"
    assert registry_of(root).aliases("toy") == {"champion": "v1", "previous": "v2"}


def test_a_verdict_about_another_champion_is_refused_and_nothing_is_registered(working_copy):
    STAGE.execute(params(), working_copy())
    root = working_copy("b")
    before = registration(root)
    with pytest.raises(
        RefusedError, match=r"compares with no champion, but the champion is now v1.*run the stage 'gate'"
    ):
        STAGE.execute(params(), root)
    STAGE.execute(params(), working_copy("b", champion="v1"))
    with pytest.raises(RefusedError, match=r"compares with champion toy@v1, but the champion is now v2"):
        STAGE.execute(params(), working_copy("c", champion="v1"))
    assert registry_of(root).versions("toy") == ["v1", "v2"]
    assert before["version"] == "v1"


def test_a_champion_that_moves_during_registration_is_not_overrun(working_copy, monkeypatch):
    """Someone promotes another version after the stage looked and before it moves the alias."""
    STAGE.execute(params(), working_copy())
    root = working_copy("b", champion="v1")
    publish = StoredRegistry.publish

    def meanwhile(self: StoredRegistry, *arguments: Any) -> Any:
        published = publish(self, *arguments)
        other = publish(self, "toy", {"a.json": b"{}"}, "other", {})
        self.promote("toy", other.version)
        return published

    monkeypatch.setattr(StoredRegistry, "publish", meanwhile)
    with pytest.raises(RefusedError, match=r"(?s)but the champion is now v3.*toy@v2 is in the registry all the same"):
        STAGE.execute(params(), root)
    assert registry_of(root).aliases("toy") == {"champion": "v3", "previous": "v1"}


def test_a_promotion_by_hand_is_not_undone_by_a_rerun(working_copy):
    root = working_copy()
    STAGE.execute(params(), root)
    registry = registry_of(root)
    other = registry.publish("toy", {"a.json": b"{}"}, "other", {})
    registry.promote("toy", other.version)
    with pytest.raises(RefusedError, match="the champion is now v2"):
        STAGE.execute(params(), root)
    assert registry.aliases("toy")["champion"] == "v2"


def test_two_registrations_of_one_run_at_once_are_one_version(working_copy):
    root = working_copy()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: STAGE.execute(params(), root), range(8)))
    assert registry_of(root).versions("toy") == ["v1"]
    assert len(registry_of(root).history("toy")) == 1


def test_a_name_that_a_model_cannot_have_says_which_key_to_set(working_copy):
    own = {"name": None, "path": f"{'a' * 120}.csv"}
    with pytest.raises(InputError, match=r"Set registry\.name in params\.yaml"):
        STAGE.execute(params(data=own, target={"column": "y"}, registry={}), working_copy())


def test_a_place_that_cannot_be_written_leaves_no_registration(working_copy):
    root = working_copy()
    (root / "registry").write_text("in the way")
    with pytest.raises(EquipoiseError, match="not a folder"):
        STAGE.execute(params(), root)
    assert not (root / "data/register/registration.json").exists()


def test_a_pickle_beside_the_weights_is_not_registered(working_copy):
    root = working_copy()
    (root / "data/train/predictor/model.pkl").write_bytes(b"\x80\x04N.")
    with pytest.raises(InputError, match=r"model\.pkl.*cannot run code"):
        STAGE.execute(params(), root)
    assert registry_of(root).names() == []


KILLED_AT_EVERY_STEP = """
import os, shutil, signal, sys
from pathlib import Path
from tasks.params import parse_params
from tasks.register import STAGE
from tasks.registry import open_registry

root = Path(sys.argv[1])
params = parse_params({
    "search": {"recipes": ["none"]}, "registry": {"name": "toy"},
    "gates": {"rules": [{"metric": "accuracy", "at_least": 0.5}]},
})
watched = [str(root / "registry"), str(root / "data/register")]

def attempt(kill_at):
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    left = [kill_at]
    def watch(event, arguments):
        if event.startswith(("open", "os.", "shutil.", "fcntl.")) and any(w in str(a) for a in arguments for w in watched):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)
    STAGE.execute(params, root)
    os._exit(0)

STAGE.execute(params, root)
whole = (root / "data/register/registration.json").read_bytes()
tried = survived = 0
while True:
    for left in watched:
        shutil.rmtree(left, ignore_errors=True)
    status = attempt(tried + 1)
    registry = open_registry("file://registry", root)
    for version in registry.versions("toy"):
        registry.load("toy", version)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
    tried += 1
    assert attempt(0) == 0
    assert registry.versions("toy") == ["v1"]
    assert registry.aliases("toy") == {"champion": "v1"}
    assert len(registry.history("toy")) == 1
    assert os.listdir(root / "registry/.staging") == [] or registry.collect()
    assert (root / "data/register/registration.json").read_bytes() == whole
    survived += 1
print(tried, survived)
"""


def test_a_registration_killed_at_any_step_and_run_again_registers_once(working_copy, repository):
    """SIGKILL before each operation on the registry and the stage's output; the second run always ends in the same bytes."""
    command = [sys.executable, "-c", KILLED_AT_EVERY_STEP, str(working_copy())]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repository)
    assert done.returncode == 0, done.stderr
    tried, survived = map(int, done.stdout.split())
    print(f"killed before each of {tried} operations: survived {survived} / {tried}")
    assert tried > 60
    assert survived == tried
