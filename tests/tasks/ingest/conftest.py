"""What the tests of ingest share: a table of every kind of column, and the stage as a call."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.errors import InputError
from models.schema import Schema
from tasks import ingest
from tasks.params import Data, Params, Target

ROWS = 200
Call = Callable[..., Any]


@pytest.fixture
def table() -> pd.DataFrame:
    """A small table of every kind of column."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "customer_id": rng.permutation(ROWS) + 1000,
            "token": [hashlib.sha256(bytes([i])).hexdigest()[:8] + "x" for i in range(ROWS)],
            "opened": [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(ROWS)],
            "amount": np.where(np.arange(ROWS) % 10 == 0, np.nan, rng.normal(100, 20, ROWS).round(2)),
            "items": rng.integers(0, 9, ROWS),
            "band": rng.choice(["18-25", "26-40", "41+", "<18"], ROWS),
            "colour": rng.choice(["red", "green", "blue"], ROWS),
            "member": rng.choice(["true", "false"], ROWS),
            "sex": np.where(np.arange(ROWS) % 17 == 0, None, rng.choice(["F", "M"], ROWS)),
            "age": rng.integers(18, 80, ROWS),
            "bought": np.where(rng.random(ROWS) < 0.2, "yes", "no"),
        }
    )


@pytest.fixture
def run() -> Call:
    """Run the stage into a folder; `target` and `sensitive` are their sections, the rest is the section data."""

    def stage(out: Path, source: Path | str | None = None, **settings: Any) -> Path:
        target = Target(**settings.pop("target", {"column": "bought"} if source else {}))
        sensitive = settings.pop("sensitive", "auto")
        data = Data(path=str(source), **settings) if source else Data(**settings)
        params = Params.model_construct(seed=0, data=data, target=target, sensitive=sensitive)
        ingest.run(params, {}, {"ingest": out})
        return out

    return stage


@pytest.fixture
def read() -> Call:
    """Rows, schema and card of a folder that the stage wrote."""

    def folder(path: Path) -> tuple[pd.DataFrame, Schema, dict[str, Any]]:
        schema = Schema.model_validate(json.loads((path / "schema.json").read_text()))
        return pd.read_parquet(path / "rows.parquet"), schema, json.loads((path / "card.json").read_text())

    return folder


@pytest.fixture
def refused(run: Call, tmp_path: Path) -> Call:
    """The stage fails with this message, and what stood in its output folder stands there untouched."""

    def stage(message: str, source: Path | str | None = None, **settings: Any) -> str:
        out = tmp_path / "out"
        out.mkdir()
        (out / "rows.parquet").write_text("older")
        with pytest.raises(InputError, match=message) as caught:
            run(out, source, **settings)
        assert list(tmp_path.rglob("*.tmp")) == []
        assert [p.name for p in out.iterdir()] == ["rows.parquet"]
        assert (out / "rows.parquet").read_text() == "older"
        return str(caught.value)

    return stage


@pytest.fixture
def csv_of(tmp_path: Path) -> Call:
    """Write a table as shop.csv."""

    def written(table: pd.DataFrame, **settings: Any) -> Path:
        path = tmp_path / "shop.csv"
        table.to_csv(path, index=False, **settings)
        return path

    return written
