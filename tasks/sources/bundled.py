"""Tables that are always there: generated ones, and those that scikit-learn brings."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.sources.download import check_sum
from tasks.sources.read_tables import Raw, clean_text


def read_lending() -> Raw:
    """The embedded default data set, with the truth that only its generator knows."""
    from data import lending

    drawn = lending.generate()
    frame = pd.DataFrame({n: clean_array(v) for n, v in drawn.columns.items()})
    source = Path(lending.__file__).read_bytes()
    identity = {
        "name": "data/lending.py",
        "seed": lending.SEED,
        "rows": lending.ROWS,
        "sha256": hashlib.sha256(source).hexdigest(),
    }
    truth = pd.DataFrame(drawn.truth)
    return Raw(frame, identity=(identity,), truth=truth, declared=drawn.declared)


def clean_array(values: np.ndarray[Any, Any]) -> pd.Series:
    """A generated column as read from a file: the empty text is a missing value."""
    if values.dtype.kind == "U":
        return clean_text(pa.chunked_array([pa.array(values, pa.string())]), ()).to_pandas()
    return pd.Series(values)


def read_breast_cancer(values_sha256: str | None) -> Raw:
    """scikit-learn's copy of the Wisconsin breast cancer table."""
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    identity = check_values("breast_cancer", bunch.data, bunch.target, values_sha256)
    frame = pd.DataFrame(bunch.data, columns=[n.replace(" ", "_") for n in bunch.feature_names])
    frame["diagnosis"] = pd.Series(bunch.target_names[bunch.target]).astype("str")
    return Raw(frame, identity=(identity,))


def check_values(
    name: str, data: np.ndarray[Any, Any], target: np.ndarray[Any, Any], sha256: str | None
) -> dict[str, Any]:
    """Identity of values that a library brought, checked against the sum of the catalogue."""
    content = np.ascontiguousarray(data, dtype="<f8").tobytes() + np.ascontiguousarray(target, dtype="<i8").tobytes()
    digest = hashlib.sha256(content).hexdigest()
    check_sum(
        digest,
        sha256,
        f"scikit-learn's {name}",
        "The installed scikit-learn brings other values; install requirements.lock",
    )
    return {"name": f"scikit-learn: {name}", "sha256": digest}


def read_conditions() -> Raw:
    """The generated data set of several labels per row."""
    from data import conditions

    frame = pd.DataFrame({n: clean_array(v) for n, v in conditions.generate().items()})
    sha256 = hashlib.sha256(Path(conditions.__file__).read_bytes()).hexdigest()
    identity = {"name": "data/conditions.py", "seed": conditions.SEED, "rows": conditions.ROWS, "sha256": sha256}
    return Raw(frame, identity=(identity,))


def read_diabetes(values_sha256: str | None) -> Raw:
    """scikit-learn's copy of the diabetes table (Efron et al. 2004), in its own units."""
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=False)
    identity = check_values("diabetes", bunch.data, bunch.target, values_sha256)
    frame = pd.DataFrame(bunch.data, columns=list(bunch.feature_names))
    frame["sex"] = frame["sex"].map({1.0: "1", 2.0: "2"}).astype("str")
    frame["progression"] = bunch.target.astype("float64")
    return Raw(frame, identity=(identity,))
