"""The refit: what was chosen alone, or averaged with what helps it."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from models.predictor import Predictor
from models.schema import Column, Schema, Target
from tasks.params import parse_params
from tasks.train import STAGE
from tests.tasks.conftest import nothing_to_learn_from

torch.set_num_threads(1)


def params(ensemble):
    return parse_params(
        {
            "search": {"recipes": ["weighted_ce"]},
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


def test_averaged_with_another_learner_where_that_lowers_the_log_loss(working_copy):
    alone = refitted(working_copy, False)[1]
    predictor, summary = refitted(working_copy, True)
    assert [model.kind for model in predictor.models] == ["trees", "trees", "net", "net"]
    assert [(c["learner"], c["kept"]) for c in summary["ensemble"]] == [("mlp", True), ("tabm", False)]
    assert summary["together"]["log_loss"] < alone["together"]["log_loss"]
    assert summary["seeds"] == alone["seeds"]
