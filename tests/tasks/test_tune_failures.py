"""What a search does when trainings fail, kill their process, lose their accelerator, or all of it fails."""

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import ray.cloudpickle
import torch

from models.balancing.component import Loss, Source
from models.balancing.discovery import catalogue
from models.balancing.loss.none import cross_entropy
from models.errors import EquipoiseError
from tasks.search import tuner
from tasks.tune import STAGE
from tests.tasks.searches import outputs, params, write_data

pytestmark = pytest.mark.slow
torch.set_num_threads(1)
# Methods of this module must reach the trials' processes, which cannot import it.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


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


def test_if_everything_fails_the_reasons_are_listed(four_cores, tmp_path):
    root = write_data(tmp_path)
    path = root / "data/ingest/rows.parquet"
    rows = pd.read_parquet(path)
    train = pd.read_parquet(root / "data/split/split.parquet")["part"] == "train"
    rows[~train.to_numpy() | (rows["y"] == "no").to_numpy()].to_parquet(path)
    with pytest.raises(EquipoiseError, match=r"every trial failed(.|\n)*none on trees: .*two classes"):
        STAGE.execute(params(("trees",), 1, recipes=["weighted_ce"], budget={"trials": 3}, rounds=1, rungs=1), root)
    assert not (root / "data/tune").exists()
    # What failed may have been the machine's fault: the same command tries all of it again.
    assert not list((root / ".equipoise/search").iterdir())
