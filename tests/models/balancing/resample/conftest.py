"""A small skewed table with every kind of column, and its schema."""

import numpy as np
import pandas as pd
import pytest

from models.schema import Attribute, Column, Schema, Target

CLASSES = ("no", "yes")
GROUPS = ("A", "B", "missing")
GRADES = ("low", "middle", "high")
CITIES = ("Bern", "Oslo", "Rome")


@pytest.fixture
def schema() -> Schema:
    return Schema(
        dataset="small",
        columns=(
            Column(name="income", kind="numeric", role="feature"),
            Column(name="children", kind="numeric", role="feature"),
            Column(name="grade", kind="ordinal", role="feature", categories=GRADES),
            Column(name="opened", kind="date", role="feature"),
            Column(name="city", kind="categorical", role="feature", categories=CITIES),
            Column(name="owner", kind="categorical", role="feature", categories=("no", "yes")),
            Column(name="group", kind="categorical", role="sensitive", categories=GROUPS),
            Column(name="account", kind="identifier", role="dropped", feature=False),
            Column(name="default", kind="categorical", role="target", feature=False, categories=CLASSES),
        ),
        target=Target(column="default", kind="binary", classes=CLASSES),
        sensitive=(Attribute(name="group", groups=GROUPS),),
        identifier="account",
        weight="weight",
    )


@pytest.fixture
def rows() -> pd.DataFrame:
    random = np.random.default_rng(0)
    count = 120
    table = pd.DataFrame(
        {
            "row_id": np.arange(count) * 7 + 3,
            "income": random.lognormal(8, 1, count),
            "children": random.integers(0, 5, count).astype(float),
            "grade": random.choice(GRADES, count),
            "opened": pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 700, count), unit="D"),
            "city": random.choice(CITIES, count),
            "owner": random.choice(["no", "yes"], count),
            "group": random.choice(GROUPS, count, p=[0.7, 0.2, 0.1]),
            "account": [f"acc-{i}" for i in range(count)],
            "default": np.where(np.arange(count) % 6 == 0, "yes", "no"),
            "weight": random.uniform(0.5, 2, count),
        }
    ).astype({"grade": "str", "city": "str", "owner": "str", "group": "str", "account": "str", "default": "str"})
    table.loc[random.choice(count, 20, replace=False), "income"] = np.nan
    table.loc[random.choice(count, 15, replace=False), "city"] = None
    table.loc[random.choice(count, 15, replace=False), "grade"] = None
    return table
