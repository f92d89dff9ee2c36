"""The refit: what was chosen alone, or averaged with what helps it."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from models.errors import DeviceLostError
from models.learners.population import Population
from models.predictor import Predictor
from models.schema import Column, Schema, Target
from tasks.params import parse_params
from tasks.search import checkpoints
from tasks.train import STAGE
from tests.tasks.conftest import nothing_to_learn_from

torch.set_num_threads(1)


def params(ensemble, recipe="weighted_ce"):
    return parse_params(
        {
            "search": {"recipes": [recipe]},
            "gates": {"rules": [{"metric": "accuracy", "at_least": 0.1}]},
            "model": {
                "hidden": [16],
                "epochs": 8,
                "iterations": 9,
                "batch_size": 64,
                "refits": 2,
                "ensemble": ensemble,
            },
        }
    )


@pytest.fixture(scope="module")
def working_copy(tmp_path_factory):
    """A line that a net learns and nine rounds of trees do not, chosen with the trees."""
    root = tmp_path_factory.mktemp("train")
    random = np.random.default_rng(0)
    numbers = random.normal(size=(1000, 3))
    labels = np.where(numbers.sum(1) + 0.3 * random.normal(size=1000) > 0, "yes", "no")
    table = pd.DataFrame({"row_id": np.arange(1000), **{c: numbers[:, i] for i, c in enumerate("abc")}, "y": labels})
    columns = tuple(Column(name=c, kind="numeric", role="feature") for c in "abc")
    target = Column(name="y", kind="categorical", role="target", feature=False)
    schema = Schema(
        dataset="line", columns=(*columns, target), target=Target(column="y", kind="binary", classes=("no", "yes")),
        sensitive=(),
    )  # fmt: skip
    for name in ("ingest", "split", "resample", "tune"):
        (root / "data" / name).mkdir(parents=True)
    table.to_parquet(root / "data/ingest/rows.parquet")
    nothing_to_learn_from(root)
    (root / "data/ingest/schema.json").write_text(schema.model_dump_json())
    parts = np.array(["train"] * 6 + ["valid"] * 2 + ["calib", "test"])[np.arange(1000) % 10]
    pd.DataFrame({"row_id": table["row_id"], "part": parts}).to_parquet(root / "data/split/split.parquet")
    companions = [
        {"recipe": "none", "learner": "mlp", "values": {"learning_rate": 0.01}},
        {"recipe": "none", "learner": "tabm", "values": {"learning_rate": 0.0}},
    ]
    choice = {"recipe": "prior_threshold", "learner": "trees", "values": {}, "companions": companions}
    (root / "data/tune/choice.json").write_text(json.dumps(choice))
    return root


def refitted(root, ensemble):
    STAGE.execute(params(ensemble), root)
    return Predictor.load(root / "data/train/predictor"), json.loads((root / "data/train/summary.json").read_text())


def test_the_chosen_configuration_alone(working_copy):
    predictor, summary = refitted(working_copy, False)
    assert [model.kind for model in predictor.models] == ["trees", "trees"]
    assert summary["ensemble"] == []


def test_a_refit_that_loses_its_accelerator_goes_on_from_its_checkpoint(working_copy, tmp_path, monkeypatch):
    calm, lost = (shutil.copytree(working_copy, tmp_path / name) for name in ("calm", "lost"))
    for root in (calm, lost):
        shutil.rmtree(root / "data/train", ignore_errors=True)
        choice = {"recipe": "class_balanced_sampling", "learner": "mlp", "values": {"learning_rate": 0.01}}
        (root / "data/tune/choice.json").write_text(json.dumps(choice))
    monkeypatch.setattr(checkpoints, "KEPT_SECONDS", 0.0)
    epoch, epochs = Population.run_epoch, []

    def counted(population):
        epochs.append(population.epoch)
        if len(epochs) == 5 and (lost / "gone").exists():
            raise torch.AcceleratorError("CUDA error: unspecified launch failure")
        epoch(population)

    monkeypatch.setattr(Population, "run_epoch", counted)
    chosen = params(False, "class_balanced_sampling")
    STAGE.execute(chosen, calm)
    assert epochs == list(range(8))
    (lost / "gone").touch()
    epochs.clear()
    with pytest.raises(DeviceLostError, match="the same command goes on from there"):
        STAGE.execute(chosen, lost)
    assert not (lost / "data/train").exists()
    (lost / "gone").unlink()
    epochs.clear()
    STAGE.execute(chosen, lost)
    assert epochs == [4, 5, 6, 7]
    for name in ("predictor/weights.safetensors", "summary.json"):
        assert (lost / "data/train" / name).read_bytes() == (calm / "data/train" / name).read_bytes()
    assert not (lost / ".equipoise/refit").exists()


def test_averaged_with_another_learner_where_that_lowers_the_log_loss(working_copy):
    alone = refitted(working_copy, False)[1]
    predictor, summary = refitted(working_copy, True)
    assert [model.kind for model in predictor.models] == ["trees", "trees", "net", "net"]
    assert [(c["learner"], c["kept"]) for c in summary["ensemble"]] == [("mlp", True), ("tabm", False)]
    assert summary["together"]["log_loss"] < alone["together"]["log_loss"]
    assert summary["seeds"] == alone["seeds"]
