"""The embedded default data set: loan applications of an invented lender, generated so that the truth is known.

60,000 applications over 24 months with the faults of real ones, each declared here and tested: about 6% defaults,
a region with under 3% of the rows, values missing more often in some groups, a postcode cluster that stands in for the
region and a working pattern that stands in for sex, labels wrongly recorded against one group, and a drift of both the
applicants and what makes them default after month 18.

The default probability is a function of what the applicant is like, never of sex, age or region themselves; those
act through income, work, credit history and so on. `Lending.truth` holds that probability and the label without the
wrong records; it is written beside the data for tests and never enters a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Texts = NDArray[np.str_]

ROWS = 60_000
MONTHS = 24
DAYS_PER_MONTH = 28
DRIFT_AFTER_MONTH = 18
FIRST_MONTH = np.datetime64("2024-01", "M")
SEED = 2026
REGIONS = {"North": 0.31, "South": 0.27, "East": 0.22, "West": 0.175, "Islands": 0.025}
POSTCODES_PER_REGION = 3
POSTCODE_FOLLOWS_REGION = 0.9
FEMALE = 0.46
PART_TIME = {"Female": 0.42, "Male": 0.07}
AGE_BANDS = ((25, "18-25"), (40, "26-40"), (60, "41-60"), (200, "61+"))
BIASED_GROUP = {"sex": "Female"}
BIASED_LABEL_SHARE = 0.008
"""Share of all rows whose label was wrongly recorded as a default; all of them in the biased group."""
PURPOSES = ("debt_consolidation", "car", "home_improvement", "medical", "business", "education", "other")
PURPOSE_SHARES = (0.36, 0.17, 0.16, 0.08, 0.07, 0.06, 0.10)
PURPOSE_RISK = (0.15, -0.35, -0.2, 0.35, 0.55, 0.1, 0.0)
TRUE_DEFAULT_RATE = 0.052
"""Mean true probability; with the wrongly recorded labels about 6% of the rows are labelled as defaults."""


@dataclass(frozen=True)
class Lending:
    """`columns` by name, one array [n] each, rows in order of time; `truth` by name, the same rows; what is `declared`."""

    columns: dict[str, NDArray[Any]]
    truth: dict[str, NDArray[Any]]
    declared: dict[str, Any]


@dataclass(frozen=True)
class _People:
    female: Bools
    age: Floats
    region: NDArray[np.int64]
    late: Bools
    thrift: Floats


def generate(rows: int = ROWS, seed: int = SEED) -> Lending:
    """Draw the applications; the same rows and seed give the same values. Money in thousands a year, shares as fractions."""
    rng = np.random.Generator(np.random.PCG64(seed))
    day = np.sort(rng.integers(0, MONTHS * DAYS_PER_MONTH, rows))
    month = day // DAYS_PER_MONTH
    people = _people(rng, rows, month >= DRIFT_AFTER_MONTH)
    work = _work(rng, people)
    credit = _credit(rng, people, work)
    loan = _loan(rng, people, work)
    probability = _probability(people, work, credit, loan)
    unbiased = rng.random(rows) < probability
    wronged = _wrongly_recorded(rng, unbiased, people)
    values: dict[str, NDArray[Any]] = {
        "application_id": np.array([f"LA{i:06d}" for i in range(rows)]),
        "application_date": (FIRST_MONTH + month).astype("datetime64[D]") + day % DAYS_PER_MONTH,
        "sex": np.where(people.female, "Female", "Male"),
        "age": people.age,
        "age_band": _band(people.age),
        "region": np.array(list(REGIONS))[people.region],
        **work,
        **credit,
        **loan,
    }
    values = {name: _known(rng, name, column, people, work) for name, column in values.items()}
    values["defaulted"] = np.where(unbiased | wronged, "yes", "no")
    return Lending(
        columns=values,
        truth={
            "probability": np.round(probability, 6),
            "unbiased_label": np.where(unbiased, "yes", "no"),
            "label_was_biased": wronged,
        },
        declared={
            "biased_labels": {
                "share_of_rows": BIASED_LABEL_SHARE,
                "against": BIASED_GROUP,
                "what": "good loans recorded as defaulted",
            },
            "proxies": {"postcode_cluster": "region", "working_pattern": "sex"},
            "drift": {
                "after_month": DRIFT_AFTER_MONTH,
                "of_months": MONTHS,
                "what": "incomes fall and utilisation rises; debt weighs more, the length of employment less",
            },
        },
    )


def _people(rng: np.random.Generator, rows: int, late: Bools) -> _People:
    age = np.clip(np.round(18 + rng.gamma(3.0, 8.0, rows)), 18, 85)
    return _People(
        female=rng.random(rows) < FEMALE,
        age=age,
        region=rng.choice(len(REGIONS), rows, p=list(REGIONS.values())),
        late=late,
        thrift=rng.standard_normal(rows),
    )


def _work(rng: np.random.Generator, people: _People) -> dict[str, NDArray[Any]]:
    rows = len(people.age)
    education = np.clip(np.round(1.6 + 0.25 * people.thrift + rng.normal(0, 0.9, rows)), 0, 3).astype(int)
    part_time = rng.random(rows) < np.where(people.female, PART_TIME["Female"], PART_TIME["Male"])
    draw = rng.random(rows)
    retired = (people.age >= 66) & (draw < 0.8)
    status = np.select(
        [retired, draw < 0.04, draw < 0.16, draw < 0.28],
        ["retired", "unemployed", "self_employed", "temporary"],
        "permanent",
    )
    pattern = np.where(
        np.isin(status, ["retired", "unemployed"]), "none", np.where(part_time, "part_time", "full_time")
    )
    years = np.minimum(rng.gamma(1.6, 3.4, rows), people.age - 17) * np.where(status == "temporary", 0.4, 1.0)
    years = np.where(np.isin(status, ["retired", "unemployed"]), 0.0, np.round(years, 1))
    log_income = (
        3.35
        + 0.17 * education
        + 0.03 * np.sqrt(np.maximum(people.age - 18, 0))
        + 0.012 * years
        - 0.42 * (pattern == "part_time")
        - 0.55 * np.isin(status, ["retired", "unemployed"])
        - 0.07 * people.female
        + np.array([0.05, 0.0, -0.04, 0.02, -0.16])[people.region]
        - 0.13 * people.late
        + rng.normal(0, 0.36, rows)
    )
    cluster = np.where(rng.random(rows) < POSTCODE_FOLLOWS_REGION, people.region, rng.integers(0, len(REGIONS), rows))
    cluster = cluster * POSTCODES_PER_REGION + rng.integers(0, POSTCODES_PER_REGION, rows)
    return {
        "education": np.array(["basic", "secondary", "vocational", "degree"])[education],
        "employment_status": status,
        "working_pattern": pattern,
        "employment_years": years,
        "income": np.round(np.exp(log_income), 1),
        "postcode_cluster": np.array([f"P{i:02d}" for i in range(len(REGIONS) * POSTCODES_PER_REGION)])[cluster],
    }


def _credit(rng: np.random.Generator, people: _People, work: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    rows = len(people.age)
    owner = (
        -2.2
        + 0.045 * (people.age - 18)
        + 0.018 * (work["income"] - 40)
        + 0.35 * people.thrift
        + rng.logistic(0, 1, rows)
    )
    housing = np.select([owner > 1.6, owner > -0.6], ["own", "mortgage"], "rent")
    history = np.round(np.clip((people.age - 18) * rng.beta(2.2, 1.8, rows), 0.2, None), 1)
    utilisation = 1 / (1 + np.exp(0.5 + 0.75 * people.thrift - 0.4 * people.late + rng.normal(0, 0.9, rows)))
    delinquencies = rng.poisson(np.exp(-1.7 - 0.55 * people.thrift + 0.9 * (utilisation - 0.4)))
    inquiries = rng.poisson(np.exp(-0.2 - 0.3 * people.thrift))
    savings = np.exp(0.6 + 0.55 * people.thrift + 0.5 * np.log(work["income"] / 40) + rng.normal(0, 0.9, rows))
    return {
        "housing": housing,
        "credit_history_years": history,
        "utilisation": np.round(utilisation, 3),
        "delinquencies_2y": np.minimum(delinquencies, 12).astype(float),
        "inquiries_6m": np.minimum(inquiries, 12).astype(float),
        "savings": np.round(savings, 1),
    }


def _loan(rng: np.random.Generator, people: _People, work: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    rows = len(people.age)
    shares = np.array(PURPOSE_SHARES)
    purpose = rng.choice(len(PURPOSES), rows, p=shares)
    purpose = np.where(people.late & (rng.random(rows) < 0.15), 0, purpose)
    scale = np.array([0.35, 0.32, 0.4, 0.14, 0.55, 0.22, 0.18])[purpose]
    amount = np.clip(np.round(work["income"] * scale * np.exp(rng.normal(0, 0.5, rows)) * 2) / 2, 0.5, 80)
    long_term = rng.random(rows) < 1 / (1 + np.exp(2.2 - 0.11 * amount))
    term = np.where(long_term, 60.0, 36.0)
    other_debt = np.exp(-1.55 - 0.25 * people.thrift + 0.15 * people.late + rng.normal(0, 0.45, rows))
    instalment = amount * 12 / term * 1.12
    return {
        "purpose": np.array(PURPOSES)[purpose],
        "loan_amount": amount,
        "term_months": term,
        "debt_to_income": np.round(np.clip(other_debt + instalment / work["income"], 0, 3), 3),
        "channel": np.where(rng.random(rows) < np.where(people.late, 0.72, 0.5), "online", "branch"),
        "guarantor": np.where(rng.random(rows) < 0.06 + 0.1 * (people.age < 25), "yes", "no"),
    }


def _probability(
    people: _People, work: dict[str, NDArray[Any]], credit: dict[str, NDArray[Any]], loan: dict[str, NDArray[Any]]
) -> Floats:
    """True default probability [n], the intercept chosen so that its mean is TRUE_DEFAULT_RATE."""
    debt = np.log1p(4 * loan["debt_to_income"])
    score = (
        sum(risk * (loan["purpose"] == purpose) for purpose, risk in zip(PURPOSES, PURPOSE_RISK, strict=True))
        + 2.1 * (debt - 0.9) * np.where(people.late, 1.35, 1.0)
        + 2.4 * (credit["utilisation"] - 0.4) ** 2
        + 1.5 * (credit["utilisation"] - 0.4)
        + 0.55 * np.minimum(credit["delinquencies_2y"], 4)
        + 0.16 * np.minimum(credit["inquiries_6m"], 5)
        - 0.85 * np.log(work["income"] / 40)
        - 0.22 * np.log1p(credit["savings"])
        - 0.45 * (np.log1p(work["employment_years"]) - 1.4) * np.where(people.late, 0.4, 1.0)
        - 0.3 * np.log1p(credit["credit_history_years"])
        + 0.75 * (work["employment_status"] == "unemployed")
        + 0.3 * (work["employment_status"] == "temporary")
        + 0.3 * (credit["housing"] == "rent")
        + 0.3 * (loan["term_months"] == 60)
        + 0.7 * ((loan["term_months"] == 60) & (credit["utilisation"] > 0.6))
        - 0.5 * (loan["guarantor"] == "yes")
        + 0.2 * people.late
    )
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.mean(1 / (1 + np.exp(-score - middle))) < TRUE_DEFAULT_RATE else (low, middle)
    probability: Floats = 1 / (1 + np.exp(-score - (low + high) / 2))
    return probability


def _wrongly_recorded(rng: np.random.Generator, unbiased: Bools, people: _People) -> Bools:
    """Rows of the biased group whose good loan is recorded as a default: exactly BIASED_LABEL_SHARE of all rows."""
    candidates = np.flatnonzero(people.female & ~unbiased)
    chosen = rng.choice(candidates, round(BIASED_LABEL_SHARE * len(unbiased)), replace=False)
    wronged = np.zeros(len(unbiased), dtype=bool)
    wronged[chosen] = True
    return wronged


def _known(
    rng: np.random.Generator, name: str, column: NDArray[Any], people: _People, work: dict[str, NDArray[Any]]
) -> NDArray[Any]:
    """The column as the lender knows it: NaN or the empty text where the value is missing."""
    islands = people.region == list(REGIONS).index("Islands")
    chances: dict[str, Any] = {
        "income": 0.02 + 0.06 * (work["employment_status"] == "self_employed"),
        "employment_years": 0.03 + 0.05 * (work["working_pattern"] == "part_time"),
        "savings": 0.05 + 0.17 * islands,
        "credit_history_years": 0.01 + 0.22 * (people.age <= 25),
        "housing": 0.015,
        "education": 0.04,
    }
    if name not in chances:
        return column
    missing = rng.random(len(column)) < chances[name]
    return np.where(missing, np.nan if column.dtype.kind == "f" else "", column)


def _band(age: Floats) -> Texts:
    return np.array([label for _, label in AGE_BANDS])[np.searchsorted([upper for upper, _ in AGE_BANDS], age)]
