"""Generator of a small data set with several labels per row: patients and the conditions that they have.

Made up, but honest: conditions share causes, some are rare, and the marker of one is measured less exactly in women, so
that a model finds it less often there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SEED, ROWS = 20260, 4000
CONDITIONS = ("hypertension", "diabetes", "asthma", "depression", "kidney disease", "anaemia")
BASE = (0.32, 0.16, 0.13, 0.12, 0.05, 0.045)
"""Share of the patients who have each condition."""


def generate(rows: int = ROWS, seed: int = SEED) -> dict[str, NDArray[Any]]:
    """Columns by name; `conditions` lists a patient's conditions, separated by ;."""
    rng = np.random.default_rng(seed)
    age = np.round(rng.gamma(6.0, 9.0, rows).clip(18, 95))
    sex = np.where(rng.random(rows) < 0.5, "female", "male")
    region = rng.choice(["North", "South", "Islands"], rows, p=[0.5, 0.38, 0.12])
    weight = rng.normal(0, 1, rows) + 0.01 * (age - 50)
    smoker = rng.random(rows) < 0.24
    strain, iron = rng.normal(0, 1, rows), rng.normal(0, 1, rows) - 0.4 * (sex == "female")
    old = (age - 54) / 18
    drive = np.stack([
        1.1 * old + 0.7 * weight,
        0.6 * old + 1.2 * weight,
        0.9 * smoker + 0.5 * rng.normal(0, 1, rows),
        1.2 * strain - 0.3 * old,
        1.0 * old + 0.6 * weight + 0.5 * rng.normal(0, 1, rows),
        -1.5 * iron + 0.3 * old,
    ], 1)  # fmt: skip
    noisy = drive + rng.logistic(0, 0.6, drive.shape)
    has = noisy > np.quantile(noisy, 1 - np.array(BASE), axis=0).diagonal()
    has[:, 4] |= has[:, 0] & has[:, 1] & (rng.random(rows) < 0.15)
    measured = np.where(sex == "female", 1.1, 0.4)
    lists = [";".join(name for name, mine in zip(CONDITIONS, row, strict=True) if mine) for row in has.tolist()]
    return {
        "age": age,
        "sex": sex,
        "region": region,
        "body_mass": np.round(26 + 4 * weight + rng.normal(0, 1.2, rows), 1),
        "blood_pressure": np.round(124 + 9 * drive[:, 0] + rng.normal(0, 7, rows)),
        "glucose": np.round(95 + 12 * drive[:, 1] + rng.normal(0, 10, rows)),
        "smoker": np.where(smoker, "yes", "no"),
        "peak_flow": np.round(480 - 55 * drive[:, 2] + rng.normal(0, 40, rows)),
        "stress": np.round(strain + rng.normal(0, 0.6, rows), 2),
        "creatinine": np.round(0.9 + 0.12 * drive[:, 4] + rng.normal(0, 0.1, rows), 2),
        "ferritin": np.round(90 * np.exp(0.5 * iron + measured * rng.normal(0, 1, rows) / 2), 1),
        "conditions": np.array(lists),
    }
