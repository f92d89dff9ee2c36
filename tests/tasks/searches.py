"""What tests of the search have in common: small rows, params for a short search, and what one leaves."""

import numpy as np
import pandas as pd

from models.schema import Attribute, Column, Schema, Target
from tasks.params import parse_params
from tests.tasks.conftest import nothing_to_learn_from

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
