"""The generated loan applications have the faults that they declare, as the truth beside them shows."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from data import lending


@pytest.fixture(scope="module")
def drawn() -> lending.Lending:
    return lending.generate()


@pytest.fixture(scope="module")
def rows(drawn: lending.Lending) -> pd.DataFrame:
    """Columns and truth side by side, the empty text as missing."""
    frame = pd.DataFrame(drawn.columns).replace("", None)
    return frame.assign(**drawn.truth, default=frame["defaulted"] == "yes")


def test_sixty_thousand_applications_over_24_months(rows: pd.DataFrame) -> None:
    assert len(rows) == 60_000
    assert rows["application_date"].dt.to_period("M").nunique() == 24
    assert rows["application_date"].is_monotonic_increasing
    assert rows["application_id"].is_unique


def test_about_six_percent_default(rows: pd.DataFrame) -> None:
    assert rows["default"].mean() == pytest.approx(0.06, abs=0.005)
    assert rows["probability"].mean() == pytest.approx(lending.TRUE_DEFAULT_RATE, abs=1e-4)
    assert rows["probability"].between(0, 1, inclusive="neither").all()


def test_labels_are_worth_learning_but_not_certain(rows: pd.DataFrame) -> None:
    assert 0.80 <= roc_auc_score(rows["unbiased_label"] == "yes", rows["probability"]) <= 0.85


def test_probability_is_calibrated_against_the_unbiased_label(rows: pd.DataFrame) -> None:
    bins = pd.qcut(rows["probability"], 10)
    by_bin = rows.assign(label=rows["unbiased_label"] == "yes").groupby(bins, observed=True)
    expected, observed, count = by_bin["probability"].mean(), by_bin["label"].mean(), by_bin.size()
    assert (abs(expected - observed) < 4 * np.sqrt(expected * (1 - expected) / count)).all()


def test_every_sensitive_attribute_has_its_groups_and_one_region_is_under_three_percent(rows: pd.DataFrame) -> None:
    shares = rows["region"].value_counts(normalize=True)
    assert shares["Islands"] < 0.03
    assert (shares.drop("Islands") > 0.1).all()
    assert set(rows["age_band"]) == {"18-25", "26-40", "41-60", "61+"}
    assert set(rows["sex"]) == {"Female", "Male"}
    assert rows.groupby("age_band")["age"].agg(["min", "max"]).loc["26-40"].tolist() == [26, 40]


def _association(a: pd.Series, b: pd.Series) -> float:
    """Cramér's V: 0 for none, 1 when one tells the other."""
    table = pd.crosstab(a, b).to_numpy().astype(float)
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    return float(np.sqrt(((table - expected) ** 2 / expected).sum() / table.sum() / (min(table.shape) - 1)))


def test_proxies_stand_in_for_sensitive_attributes(rows: pd.DataFrame, drawn: lending.Lending) -> None:
    assert drawn.declared["proxies"] == {"postcode_cluster": "region", "working_pattern": "sex"}
    assert _association(rows["postcode_cluster"], rows["region"]) > 0.8
    assert _association(rows["working_pattern"], rows["sex"]) > 0.3
    assert _association(rows["purpose"], rows["sex"]) < 0.02


def test_declared_share_of_labels_is_wrong_and_all_against_one_group(
    rows: pd.DataFrame, drawn: lending.Lending
) -> None:
    biased = rows[rows["label_was_biased"]]
    assert len(biased) == round(drawn.declared["biased_labels"]["share_of_rows"] * len(rows))
    assert set(biased["sex"]) == {drawn.declared["biased_labels"]["against"]["sex"]}
    assert set(biased["unbiased_label"]) == {"no"}
    assert set(biased["defaulted"]) == {"yes"}
    untouched = rows[~rows["label_was_biased"]]
    assert (untouched["defaulted"] == untouched["unbiased_label"]).all()


def test_applicants_and_what_makes_them_default_drift_after_month_18(rows: pd.DataFrame) -> None:
    month = rows["application_date"].dt.to_period("M").rank(method="dense").astype(int)
    before, after = rows[month <= 18], rows[month > 18]
    assert after["income"].median() < 0.95 * before["income"].median()
    assert after["utilisation"].mean() > before["utilisation"].mean() + 0.05
    assert after["default"].mean() > 1.3 * before["default"].mean()
    # The same applicants would default more often, not only other applicants: compare at equal debt and tenure.
    short = "employment_years < 1 and 0.3 < debt_to_income < 0.4"
    long = "employment_years > 8 and 0.3 < debt_to_income < 0.4"
    gain_before = before.query(short)["probability"].mean() / before.query(long)["probability"].mean()
    gain_after = after.query(short)["probability"].mean() / after.query(long)["probability"].mean()
    assert gain_after < 0.7 * gain_before
    halves = [rows[month <= 9], rows[month.between(10, 18)]]
    assert halves[0]["income"].median() == pytest.approx(halves[1]["income"].median(), rel=0.02)


def test_values_are_missing_more_often_in_some_groups(rows: pd.DataFrame) -> None:
    thin = rows["credit_history_years"].isna().groupby(rows["age_band"]).mean()
    savings = rows["savings"].isna().groupby(rows["region"]).mean()
    assert thin["18-25"] > 5 * thin["41-60"]
    assert savings["Islands"] > 2 * savings["North"]
    assert not rows[["sex", "age", "region", "defaulted", "application_date"]].isna().any().any()


def _digest(drawn: lending.Lending) -> str:
    columns = {**drawn.columns, **drawn.truth}
    return hashlib.sha256(b"".join(np.ascontiguousarray(v).tobytes() for v in columns.values())).hexdigest()


def test_a_seed_always_draws_the_same_bytes() -> None:
    assert _digest(lending.generate(5000, seed=1)) == _digest(lending.generate(5000, seed=1))
    assert _digest(lending.generate(5000, seed=1)) != _digest(lending.generate(5000, seed=2))
