"""A working copy as it stands after train: real rows, a real split and a real predictor, small enough for unit tests."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from models.learners import learner
from models.learners.learner import Member, Plan
from models.predictor import Predictor
from models.preprocess import Preprocessor
from models.recipe import parse
from models.schema import Attribute, Column, Schema, Target
from tasks.learned import write_learned
from tasks.params import Params, Resources, parse_params
from tasks.registry import CHALLENGER, open_registry
from tasks.search.cluster import cluster
from tasks.sources.parquet import write_parquet
from tasks.stage import write_json

ROWS = 2400


def toy_schema(classes: tuple[str, ...]) -> Schema:
    """Two features, a sensitive attribute with a tiny and an empty group, and one that is binned."""
    return Schema(
        dataset="toy",
        columns=(
            Column(name="x", kind="numeric", role="feature"),
            Column(name="c", kind="categorical", role="feature", categories=("a", "b")),
            Column(name="race", kind="categorical", role="sensitive", categories=("A", "B", "tiny", "nobody")),
            Column(name="age", kind="numeric", role="feature"),
            Column(name="age_group", kind="categorical", role="sensitive", feature=False),
            Column(name="y", kind="categorical", role="target", feature=False),
        ),
        target=Target(column="y", kind="binary" if len(classes) == 2 else "multiclass", classes=classes),
        sensitive=(
            Attribute(name="race", groups=("A", "B", "tiny", "nobody")),
            Attribute(name="age_group", groups=("young", "old")),
        ),
    )


def toy_rows(classes: tuple[str, ...], seed: int = 0) -> pd.DataFrame:
    """Rows whose class depends on x and c."""
    rng = np.random.default_rng(seed)
    x, c = rng.normal(size=ROWS), rng.choice(["a", "b"], ROWS)
    score = 1.5 * x + (c == "a") - 1 + rng.logistic(size=ROWS)
    cuts = np.quantile(score, [0.7] if len(classes) == 2 else np.linspace(0, 1, len(classes) + 1)[1:-1])
    age = rng.uniform(18, 80, ROWS)
    return pd.DataFrame(
        {
            "row_id": np.arange(ROWS),
            "x": x,
            "c": pd.array(c, dtype="string"),
            "race": pd.array(rng.choice(["A", "B", "tiny"], ROWS, p=[0.6, 0.37, 0.03]), dtype="string"),
            "age": age,
            "age_group": pd.array(np.where(age < 40, "young", "old"), dtype="string"),
            "y": pd.array(np.array(classes)[np.searchsorted(cuts, score)], dtype="string"),
        }
    )


def toy_predictor(rows: pd.DataFrame, schema: Schema, seed: int = 0) -> Predictor:
    """A small net, trained for real."""
    preprocessor = Preprocessor.fit(rows, schema, False)
    encoded = preprocessor.encode(rows)
    plan = Plan(budget=6, hidden=(8,), batch_size=128)
    outcomes = learner("mlp").fit(parse("none"), [Member({}, seed)], encoded, encoded, preprocessor.inputs, plan)
    return Predictor(preprocessor, tuple(o.model for o in outcomes), (), (), "none")


def nothing_to_learn_from(root: Path) -> None:
    """What the stage `start` leaves where no version is named."""
    write_json(root / "data/start/start.json", {"name": None, "version": None, "digest": None, "why": "none is named"})


@pytest.fixture(scope="session")
def trained_copies(tmp_path_factory: pytest.TempPathFactory) -> Callable[[tuple[str, ...]], Path]:
    """Working copies by classes, made once."""
    made: dict[tuple[str, ...], Path] = {}

    def copy(classes: tuple[str, ...]) -> Path:
        if classes not in made:
            made[classes] = root = tmp_path_factory.mktemp("trained")
            schema, rows = toy_schema(classes), toy_rows(classes)
            parts = np.repeat(["train", "valid", "calib", "test"], [1200, 200, 200, ROWS - 1600])
            for folder in ("ingest", "split", "train/predictor"):
                (root / "data" / folder).mkdir(parents=True)
            write_json(root / "data/ingest/schema.json", schema.model_dump(mode="json"))
            nothing_to_learn_from(root)
            write_parquet(root / "data/ingest/rows.parquet", rows)
            split = pd.DataFrame({"row_id": rows["row_id"], "part": pd.array(parts, dtype="string")})
            write_parquet(root / "data/split/split.parquet", split)
            toy_predictor(rows[parts == "train"], schema).save(root / "data/train/predictor")
            seeds = [{"seed": s, "metrics": {"accuracy": 0.7 + s / 100}} for s in (1, 2, 3)]
            write_json(root / "data/train/summary.json", {"recipe": "none", "seeds": seeds})
            write_learned(root / "data/train", rows[parts == "train"], list(rows.columns.drop("row_id")), None)
        return made[classes]

    return copy


@pytest.fixture
def trained_copy(
    tmp_path: Path, trained_copies: Callable[[tuple[str, ...]], Path]
) -> Callable[[tuple[str, ...]], Path]:
    """A fresh copy of one of them, to be changed at will."""

    def copy(classes: tuple[str, ...] = ("no", "yes")) -> Path:
        return Path(shutil.copytree(trained_copies(classes), tmp_path / "copy", dirs_exist_ok=True))

    return copy


@pytest.fixture(scope="session")
def toy_params() -> Callable[..., Params]:
    """Parameters for the working copies; sections may be replaced."""

    def params(**sections: Any) -> Params:
        return parse_params(
            {
                "data": {"name": None, "path": "toy.csv"},
                "target": {"column": "y"},
                "sensitive": ["race", "age_group"],
                "search": {"recipes": ["none"]},
                "evaluate": {"bootstrap": 100, "evidence_rows": 50, "evidence_per_class": 10},
                "gates": {"rules": [{"metric": "accuracy", "at_least": 0.6}]},
                **sections,
            }
        )

    return params


class Registered(NamedTuple):
    """A registry that holds toy@v1, the champion, and toy@v2, the challenger; what v1 is, and rows as ingest writes them."""

    url: str
    predictor: Predictor
    rows: pd.DataFrame


def loan_schema() -> Schema:
    """A column of every kind, an identifier, and a sensitive attribute that the model does not read."""
    return Schema(
        dataset="loans",
        columns=(
            Column(name="amount", kind="numeric", role="feature"),
            Column(name="grade", kind="ordinal", role="feature", categories=("low", "mid", "high")),
            Column(name="code", kind="categorical", role="feature", categories=("1", "2")),
            Column(name="opened", kind="date", role="feature"),
            Column(name="number", kind="identifier", role="dropped", feature=False),
            Column(name="sex", kind="categorical", role="sensitive", categories=("F", "M")),
            Column(name="default", kind="categorical", role="target", feature=False),
        ),
        target=Target(column="default", kind="binary", classes=("no", "yes")),
        sensitive=(Attribute(name="sex", groups=("F", "M")),),
        identifier="number",
    )


def loan_rows(rows: int = 600, seed: int = 0) -> pd.DataFrame:
    """Loans that default when the amount is large."""
    rng = np.random.default_rng(seed)
    amount = rng.normal(size=rows)
    risk = 1 / (1 + np.exp(-2 * amount))
    amount[::17] = np.nan
    return pd.DataFrame(
        {
            "amount": amount,
            "grade": rng.choice(["low", "mid", "high"], rows),
            "code": rng.choice(["1", "2"], rows),
            "opened": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, rows), unit="D"),
            "number": [f"n{seed}-{i}" for i in range(rows)],
            "sex": rng.choice(["F", "M"], rows),
            "default": np.where(rng.random(rows) < risk, "yes", "no"),
        }
    )


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    """Published for real; nothing may write to it."""
    folder, rows = tmp_path_factory.mktemp("registered"), loan_rows()
    registry = open_registry("file://registry", folder)
    predictors = [toy_predictor(rows, loan_schema(), seed) for seed in (0, 1)]
    for number, predictor in enumerate(predictors, start=1):
        saved = folder / f"saved{number}"
        saved.mkdir()
        predictor.save(saved)
        files: dict[str, Path | bytes] = {f"predictor/{p.name}": p for p in saved.iterdir()}
        version = registry.publish("toy", files, run=str(number), summary={}).version
        registry.promote("toy", version, **({} if number == 1 else {"alias": CHALLENGER}))
        shutil.rmtree(saved)
    return Registered(f"file://{folder}/registry", predictors[0], rows)


@pytest.fixture(scope="session")
def loans() -> Callable[..., pd.DataFrame]:
    """More loans: `loans(rows, seed)`."""
    return loan_rows


def terminated(*_: object) -> None:
    """What this process had in mind for SIGTERM before Ray came."""
    raise SystemExit(128 + signal.SIGTERM)


@pytest.fixture(scope="module")
def four_cores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """One Ray for the module, which pretends to have four cores; the handler of SIGTERM from before it started."""
    before = signal.signal(signal.SIGTERM, terminated)
    try:
        with cluster(Resources(concurrent_trials=4), "cpu", 0, tmp_path_factory.mktemp("ray") / "ray.json"):
            yield terminated
    finally:
        signal.signal(signal.SIGTERM, before)
