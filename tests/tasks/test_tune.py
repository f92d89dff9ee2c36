"""The search as a user runs it: reproducible, interruptible, and honest about what failed and what is not feasible."""

import contextlib
import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import ray
import ray.cloudpickle
import torch

from models.balancing.component import Loss, Source
from models.balancing.discovery import catalogue
from models.balancing.loss.none import cross_entropy
from models.errors import EquipoiseError
from models.schema import Attribute, Column, Schema, Target
from tasks import tune
from tasks.params import Resources, parse_params
from tasks.search import tuner
from tasks.search.cluster import cluster
from tasks.search.ledger import Ledger
from tasks.tune import STAGE
from tests.tasks.conftest import nothing_to_learn_from

pytestmark = pytest.mark.slow
torch.set_num_threads(1)
# Methods of this module must reach the trials' processes, which cannot import it.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

SEARCH = {
    "recipes": ["weighted_ce", "focal", "random_over"], "budget": {"trials": 16}, "rounds": 2, "rungs": 2, "halving": 3,
    "subject_to": {"ece": 0.25}, "retries": 1,
}  # fmt: skip


def params(learners=("mlp", "trees"), at_once=None, **search):
    return parse_params(
        {
            "search": SEARCH | search,
            "gates": {"rules": [{"metric": "accuracy", "at_least": 0.1}]},
            "model": {"hidden": [8], "epochs": 3, "iterations": 9, "batch_size": 64, "learners": list(learners)},
            "evaluate": {"evidence_rows": 5, "evidence_per_class": 2},
            "resources": {"concurrent_trials": at_once},
        }
    )


def write_data(root, rows=500):
    """What ingest, split and resample leave: a small table with a category, two groups and a rare class."""
    rng = np.random.default_rng(0)
    a, kind, sex = rng.normal(size=(rows, 2)), rng.integers(0, 4, rows), rng.integers(0, 2, rows)
    positive = a[:, 0] + 0.7 * (kind == 1) + 0.3 * sex + 0.5 * rng.normal(size=rows) > 1.2
    table = pd.DataFrame(
        {
            "row_id": np.arange(rows), "a": a[:, 0], "b": a[:, 1], "kind": np.array(list("wxyz"))[kind],
            "sex": np.array(["F", "M"])[sex], "y": np.where(positive, "yes", "no"),
        }
    )  # fmt: skip
    schema = Schema(
        dataset="small",
        columns=(
            Column(name="a", kind="numeric", role="feature"), Column(name="b", kind="numeric", role="feature"),
            Column(name="kind", kind="categorical", role="feature"),
            Column(name="sex", kind="categorical", role="sensitive"),
            Column(name="y", kind="categorical", role="target", feature=False),
        ),
        target=Target(column="y", kind="binary", classes=("no", "yes")),
        sensitive=(Attribute(name="sex", groups=("F", "M")),),
    )  # fmt: skip
    for name in ("ingest", "split", "resample"):
        (root / "data" / name).mkdir(parents=True)
    parts = np.array(["train"] * 6 + ["valid"] * 2 + ["calib", "test"])[np.arange(rows) % 10]
    train = table[parts == "train"]
    rare = train[train["y"] == "yes"]
    doubled = pd.concat([train, rare, rare], ignore_index=True)
    doubled["synthetic"] = np.arange(len(doubled)) >= len(train)
    table.to_parquet(root / "data/ingest/rows.parquet")
    (root / "data/ingest/schema.json").write_text(schema.model_dump_json())
    pd.DataFrame({"row_id": table["row_id"], "part": parts}).to_parquet(root / "data/split/split.parquet")
    nothing_to_learn_from(root)
    doubled.to_parquet(root / "data/resample/random_over.parquet")
    return root


def outputs(root):
    return tuple((root / "data/tune" / name).read_bytes() for name in ("trials.json", "choice.json"))


@pytest.fixture(scope="module")
def four_cores(tmp_path_factory):
    """One Ray for the module, which pretends to have four cores."""
    with cluster(Resources(concurrent_trials=4), "cpu", 0, tmp_path_factory.mktemp("ray") / "ray.json"):
        yield


@pytest.fixture(scope="module")
def searched(four_cores, tmp_path_factory):
    """A finished search, one trial at a time."""
    root = write_data(tmp_path_factory.mktemp("searched"))
    STAGE.execute(params(at_once=1), root)
    return root


@pytest.fixture
def record(searched):
    return json.loads((searched / "data/tune/trials.json").read_text())


def test_four_trials_at_once_choose_what_one_at_a_time_chooses(searched, tmp_path):
    root = write_data(tmp_path)
    STAGE.execute(params(at_once=4), root)
    assert outputs(root) == outputs(searched)


def test_every_trial_is_on_record_and_the_baselines_are_among_them(record):
    trials = record["trials"]
    assert [t["trial"] for t in trials] == list(range(len(trials)))
    by_training = {t["training"]: [o for o in trials if o["training"] == t["training"]] for t in trials}
    assert len(by_training) == 16
    assert all(own[0]["trial"] == first for first, own in by_training.items())
    assert all(len({(o["seed"], o["learner"], str(o["values"])) for o in own}) == 1 for own in by_training.values())
    shared = [[o["recipe"] for o in own] for own in by_training.values() if len(own) > 1]
    assert all(names == ["none", "prior_threshold"] for names in shared)
    assert all(
        one["metrics"]["log_loss"] == other["metrics"]["log_loss"]
        for one, other in (own for own in by_training.values() if len(own) > 1)
    )
    assert [(t["recipe"], t["learner"]) for t in trials[:4]] == [
        ("none", "mlp"), ("prior_threshold", "mlp"), ("none", "trees"), ("prior_threshold", "trees"),
    ]  # fmt: skip
    assert {t["round"] for t in trials} == {0, 1}
    assert all(t["status"] == "finished" and t["rungs"][0]["budget"] in (3, 9) for t in trials[:4])
    assert {t["status"] for t in trials} == {"finished", "halved"}
    assert all(t["rungs"][0]["budget"] in (1, 3) for t in trials[4:])
    assert len({t["seed"] for t in trials}) == 16
    assert len({t["metrics"]["balanced_accuracy"] for t in trials[:2]}) == 2


def test_the_choice_is_the_best_feasible_trial_with_its_interval(searched, record):
    choice = json.loads((searched / "data/tune/choice.json").read_text())
    finished = [t for t in record["trials"] if t["status"] == "finished" and t["feasible"]]
    first = max(finished, key=lambda t: t["metrics"]["balanced_accuracy"])["metrics"]
    enough = first["balanced_accuracy"] - first["objective_error"]
    close = [t for t in finished if t["metrics"]["balanced_accuracy"] >= enough]
    best = min(close, key=lambda t: t["metrics"]["log_loss"])
    assert choice["trial"] == best["trial"]
    assert choice["values"] == best["values"]
    metrics = choice["metrics"]
    assert metrics["ece"] <= 0.25
    assert metrics["objective_low"] <= metrics["balanced_accuracy"] <= metrics["objective_high"]


def test_nothing_is_left_of_a_finished_search(searched):
    assert not list((searched / ".equipoise/search").iterdir())


def test_the_record_has_no_times_and_no_paths(searched):
    text = b"".join(outputs(searched)).decode()
    assert "/" not in text
    assert "time" not in text.replace("wall_clock_limited", "")


@contextlib.contextmanager
def search_in_a_process(root):
    """The stage as `python -m tasks.tune` runs it, in the working copy `root`."""
    (root / "params.yaml").write_text(json.dumps(params().model_dump(mode="json")))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "TUNE_"))}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-m", "tasks.tune"], cwd=root, env=environment, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def kept(root):
    """The results on disk that are whole, by name."""
    return {
        path.name: path.stat().st_mtime_ns
        for path in root.glob(".equipoise/search/*/results/*.json")
        if path.name[0] != "."
    }


def wait_for(root, process, results):
    while len(kept(root)) < results:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


def test_interrupted_and_killed_it_goes_on_and_chooses_the_same(searched, four_cores, tmp_path, monkeypatch, caplog):
    """Ctrl-C, then the same command killed with -9, then the same command once more."""
    root = write_data(tmp_path)
    written, write = [], Ledger.write

    def spy(ledger, key, result):
        write(ledger, key, result)
        written.append("round{}-rung{}-trial{}.json".format(*key))
        if len(written) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Ledger, "write", spy)
    with caplog.at_level(logging.INFO, "equipoise"), pytest.raises(KeyboardInterrupt):
        STAGE.execute(params(at_once=1), root)
    assert "3 results are kept, and the same command goes on from there" in caplog.text
    after_interrupt = kept(root)
    assert set(after_interrupt) == set(written)
    assert not (root / "data/tune").exists()

    with search_in_a_process(root) as process:
        wait_for(root, process, 5)
        process.send_signal(signal.SIGKILL)
        process.wait()
    after_kill = kept(root)
    assert after_interrupt.items() <= after_kill.items()

    with caplog.at_level(logging.INFO, "equipoise"):
        STAGE.execute(params(at_once=2), root)
    assert "restoring the trials that were under way" in caplog.text
    assert not set(written[3:]) & set(after_kill)
    assert outputs(root) == outputs(searched)


def test_ctrl_c_ends_the_command_without_a_traceback(tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    stage = dataclasses.replace(STAGE, run=interrupted, inputs={})
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(json.dumps(params().model_dump(mode="json")))
    with pytest.raises(SystemExit, match="130"):
        stage.main()
    assert "the same command goes on" in capsys.readouterr().err


@dataclass(frozen=True)
class Exploding(Loss):
    name = "exploding"
    formula = "L = nan"
    source = Source("A loss that is no number")

    def losses(self, state, logits, batch, progress):
        return cross_entropy(logits, batch.targets) * float("nan")


@dataclass(frozen=True)
class Raising(Loss):
    name = "raising"
    formula = "L = ?"
    source = Source("A loss with a mistake in it")

    def losses(self, state, logits, batch, progress):
        raise ArithmeticError("seven is not a number")


@dataclass(frozen=True)
class Deadly(Loss):
    """Cross-entropy that writes down every call and its process, and can kill that process half-way, once."""

    name = "deadly"
    formula = "L = -log p_y"
    source = Source("A loss that ends its process")
    calls = ""
    kills_at = 0

    def losses(self, state, logits, batch, progress):
        calls = Path(self.calls)
        with calls.open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        if len(calls.read_text().splitlines()) == self.kills_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return cross_entropy(logits, batch.targets)


def test_failed_trials_are_on_record_and_those_that_die_resume(four_cores, tmp_path, monkeypatch):
    """Two searches with the same trials; in the second one, a process dies."""
    for kind in (Deadly, Exploding, Raising):
        monkeypatch.setitem(catalogue(), kind.name, kind)
    monkeypatch.setattr(tuner, "CHECKPOINT_SECONDS", 0.0)
    calm, deadly = write_data(tmp_path / "calm"), write_data(tmp_path / "deadly")
    chosen = params(
        ("mlp",),
        1,
        recipes=["deadly", "exploding", "raising"],
        budget={"trials": 4},
        rounds=1,
        rungs=1,
        subject_to={"ece": 0.0},
    )
    monkeypatch.setattr(Deadly, "calls", str(calm / "calls"))
    STAGE.execute(chosen, calm)
    trials, choice = (json.loads(text) for text in outputs(calm))
    by_recipe = {t["recipe"]: t for t in trials["trials"]}
    assert by_recipe["exploding"]["status"] == by_recipe["raising"]["status"] == "failed"
    assert by_recipe["exploding"]["error"] == (
        "exploding on mlp: exploding: the training loss is not finite in epoch 1, batch 1"
    )
    assert by_recipe["raising"]["error"] == "raising on mlp, epoch 0: ArithmeticError: seven is not a number"
    assert by_recipe["raising"]["metrics"] is None
    # No trial has a calibration error of zero, so that the least violation wins.
    assert by_recipe[choice["recipe"]]["status"] == "finished"
    assert choice["feasible"] is False
    assert choice["violation"] == min(t["violation"] for t in trials["trials"] if t["metrics"])
    assert choice["why"].startswith("Nothing is feasible")

    whole = len((calm / "calls").read_text().split())
    monkeypatch.setattr(Deadly, "calls", str(deadly / "calls"))
    monkeypatch.setattr(Deadly, "kills_at", whole // 2)
    STAGE.execute(chosen, deadly)
    assert outputs(deadly) == outputs(calm)
    processes = (deadly / "calls").read_text().split()
    assert len(set(processes)) == 2
    # The second process went on where the last checkpoint was, and did not train from the start.
    assert processes.count(processes[-1]) < whole


@dataclass(frozen=True)
class Unplugged(Loss):
    """Cross-entropy that does as a GPU does that is gone, as long as a file is there, from the second epoch on."""

    name = "unplugged"
    formula = "L = -log p_y"
    source = Source("A loss that loses its device")
    folder = ""

    def losses(self, state, logits, batch, progress):
        folder = Path(self.folder)
        with (folder / "calls").open("a") as stream:
            stream.write("1")
        if (folder / "gone").exists() and (folder / "calls").stat().st_size > 20:
            raise torch.AcceleratorError("CUDA error: unspecified launch failure")
        return cross_entropy(logits, batch.targets)


def test_without_its_accelerator_a_search_ends_and_goes_on_from_its_checkpoint(four_cores, tmp_path, monkeypatch):
    monkeypatch.setitem(catalogue(), Unplugged.name, Unplugged)
    monkeypatch.setattr(tuner, "CHECKPOINT_SECONDS", 0.0)
    calm, lost = write_data(tmp_path / "calm"), write_data(tmp_path / "lost")
    chosen = params(("mlp",), 1, recipes=["unplugged"], budget={"trials": 2}, rounds=1, rungs=1, retries=0)
    monkeypatch.setattr(Unplugged, "folder", str(calm))
    STAGE.execute(chosen, calm)
    whole = (calm / "calls").stat().st_size
    monkeypatch.setattr(Unplugged, "folder", str(lost))
    (lost / "gone").touch()
    with pytest.raises(
        EquipoiseError, match=r"unplugged on mlp, epoch \d: .*CUDA error.*the same command goes on from there"
    ):
        STAGE.execute(chosen, lost)
    assert not (lost / "data/tune").exists()
    (lost / "gone").unlink()
    (lost / "calls").unlink()
    STAGE.execute(chosen, lost)
    assert outputs(lost) == outputs(calm)
    assert 0 < (lost / "calls").stat().st_size < whole


@pytest.mark.parametrize(
    ("minutes", "alone"), [(0.2, False), (0.1, True)], ids=["processes", "too short for processes"]
)
def test_a_search_by_time_ends_with_a_valid_choice_and_says_that_the_clock_ended_it(
    four_cores, tmp_path, monkeypatch, minutes, alone
):
    root = write_data(tmp_path)
    # With so little time the search trains in its own process, unless that is said to be too much already.
    if alone:
        monkeypatch.setattr(tune, "cluster", lambda *given: pytest.fail("processes were started"))
    else:
        monkeypatch.setattr(tune, "PROCESSES_PAY", 0.0)
    STAGE.execute(params(at_once=2, budget={"minutes": minutes}), root)
    trials, choice = (json.loads(text) for text in outputs(root))
    assert trials["wall_clock_limited"]
    # What the clock gave up before its first result is no trial; those that are keep their numbers.
    numbers = [t["trial"] for t in trials["trials"]]
    assert numbers == sorted(set(numbers))
    assert trials["trials"][0]["recipe"] == "none"
    assert len(trials["trials"]) > 1 or not alone
    assert all(t["rungs"] for t in trials["trials"])
    (chosen,) = [t for t in trials["trials"] if t["trial"] == choice["trial"]]
    assert chosen["metrics"] == choice["metrics"]
    assert chosen["status"] in ("finished", "stopped")


def test_if_everything_fails_the_reasons_are_listed(four_cores, tmp_path):
    root = write_data(tmp_path)
    path = root / "data/ingest/rows.parquet"
    rows = pd.read_parquet(path)
    train = pd.read_parquet(root / "data/split/split.parquet")["part"] == "train"
    rows[~train.to_numpy() | (rows["y"] == "no").to_numpy()].to_parquet(path)
    with pytest.raises(EquipoiseError, match=r"every trial failed(.|\n)*none on trees: .*two classes"):
        STAGE.execute(params(("trees",), 1, recipes=["weighted_ce"], budget={"trials": 3}, rounds=1, rungs=1), root)
    assert not (root / "data/tune").exists()


def test_what_does_not_fit_is_said(four_cores, tmp_path, caplog):
    """Too few trials for all pairs, and a limit on groups where there are none."""
    root = write_data(tmp_path)
    path = root / "data/ingest/schema.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sensitive": []}))
    limits = {"ece": 0.9, "equalized_odds_difference": 0.1}
    with caplog.at_level(logging.WARNING, "equipoise"):
        STAGE.execute(
            params(("mlp",), 1, recipes=["focal", "mixup"], budget={"trials": 2}, rounds=1, rungs=1, subject_to=limits),
            root,
        )
    trials, choice = (json.loads(text) for text in outputs(root))
    assert [t["recipe"] for t in trials["trials"]] == ["none", "prior_threshold", "focal"]
    assert "left out: mixup on mlp. Set search.budget.trials to 3" in caplog.text
    assert trials["objective"]["subject_to"] == {"ece": 0.9}
    assert choice["feasible"]
    assert "equalized_odds_difference does not apply" in caplog.text
