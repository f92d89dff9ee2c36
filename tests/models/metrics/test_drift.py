"""Drift of columns against scipy's own tests, its false alarms under no drift, and performance without labels against the labels."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from models.metrics.classification import confusion_matrix, from_confusion
from models.metrics.drift import Drift, chi_squared, corrected, drift, drifts, smirnov, stability_index
from models.metrics.estimated import estimates, expected_confusion
from models.metrics.profile import KNOTS, Categories, Numbers, profile_of
from models.schema import Attribute, Column, Schema, Target


def numbers(values: np.ndarray, reference: Numbers | None = None) -> Numbers:
    return Numbers.of(values, reference.values if reference else None)


def test_the_distance_and_its_p_value_are_scipys_where_the_reference_keeps_every_value():
    rng = np.random.default_rng(0)
    old, new = rng.integers(0, 100, 3000).astype(float), rng.integers(2, 100, 2000).astype(float)
    reference = numbers(old)
    distance, p = smirnov(reference, numbers(new, reference))
    expected = stats.ks_2samp(old, new, method="asymp")
    assert distance == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue, rel=0.2)  # scipy corrects the scale for finite samples


def test_of_many_values_few_points_are_kept_and_the_distance_is_never_larger():
    rng = np.random.default_rng(1)
    old, new = rng.normal(size=5000), rng.normal(0.3, 1, 4000)
    reference = numbers(old)
    assert len(reference.values) <= KNOTS
    distance, _ = smirnov(reference, numbers(new, reference))
    whole = stats.ks_2samp(old, new).statistic
    assert whole - 0.01 <= distance <= whole + 1e-12


def test_chi_squared_is_scipys_and_takes_rare_values_together():
    old, new = np.array([500.0, 300, 200]), np.array([400.0, 380, 220])
    expected = stats.chi2_contingency([old, new], correction=False)
    assert chi_squared(old, new) == pytest.approx((expected.statistic, expected.pvalue))
    rare = np.array([500.0, 300, 1, 2, 1]), np.array([400.0, 380, 2, 0, 3])
    together = stats.chi2_contingency([[500, 300, 4], [400, 380, 5]], correction=False)
    assert chi_squared(*rare)[0] <= together.statistic + 1e-9
    assert chi_squared(np.array([5.0, 0]), np.array([9.0, 0])) == (None, None)


def test_the_stability_index_by_hand():
    old, new = np.array([499.5, 499.5]), np.array([249.5, 749.5])
    p, q = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    assert stability_index(old, new) == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=1e-3)
    assert stability_index(old, old) == pytest.approx(0)


def test_holms_correction_by_hand():
    found = [Drift(str(i), "", None, p, p, None, 10) for i, p in enumerate([0.01, 0.04, 0.03, None])]
    assert [d.adjusted for d in corrected(found)] == [
        pytest.approx(0.03),
        pytest.approx(0.06),
        pytest.approx(0.06),
        None,
    ]


def test_a_change_of_missing_values_or_new_categories_is_a_drift():
    rng = np.random.default_rng(2)
    old = rng.normal(size=3000)
    new = np.where(rng.random(3000) < 0.05, np.nan, old)
    reference = numbers(old)
    assert drift("x", reference, numbers(new, reference)).p < 1e-6
    texts = pd.Series(rng.choice(["a", "b"], 2000))
    odd = texts.mask(rng.random(2000) < 0.05, "new")
    found = drift("c", Categories.of(texts), Categories.of(odd))
    assert found.p < 1e-6
    assert found.psi > 0.02
    assert drift("c", Categories.of(texts), reference).note == "numbers in one sample and text in the other"
    assert drift("x", reference, numbers(np.array([]), reference)).p is None


def test_without_drift_a_whole_table_raises_a_false_alarm_as_rarely_as_asked():
    """Ten columns, 200 new samples: at 5% about ten tables raise one; thirty would be four standard deviations off."""
    rng = np.random.default_rng(3)
    columns = {f"x{i}": rng.normal(size=4000).round(1 + i % 3) for i in range(8)}
    texts = {f"c{i}": pd.Series(rng.choice(list("abcdefg"), 4000)) for i in range(2)}
    reference = {n: numbers(v) for n, v in columns.items()} | {n: Categories.of(v) for n, v in texts.items()}
    alarms = 0
    for _ in range(200):
        found = {f"x{i}": numbers(rng.normal(size=500).round(1 + i % 3), reference[f"x{i}"]) for i in range(8)}
        found |= {f"c{i}": Categories.of(pd.Series(rng.choice(list("abcdefg"), 500))) for i in range(2)}
        alarms += any(d.adjusted < 0.05 for d in drifts(reference, found))
    assert alarms <= 24


SCHEMA = Schema(
    dataset="toy",
    columns=(
        Column(name="x", kind="numeric", role="feature"),
        Column(name="grade", kind="ordinal", role="feature", categories=("low", "high")),
        Column(name="opened", kind="date", role="feature"),
        Column(name="code", kind="categorical", role="feature"),
        Column(name="key", kind="identifier", role="dropped", feature=False),
        Column(name="sex", kind="categorical", role="sensitive"),
        Column(name="y", kind="categorical", role="target", feature=False),
    ),
    target=Target(column="y", kind="binary", classes=("no", "yes")),
    sensitive=(Attribute(name="sex", groups=("F", "M")),),
)


def test_a_profile_has_every_feature_group_and_score_and_comes_back_from_json():
    rng = np.random.default_rng(4)
    rows = pd.DataFrame(
        {
            "x": rng.normal(size=100), "grade": rng.choice(["low", "high"], 100), "code": rng.choice(["1", "2"], 100),
            "opened": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 9, 100), unit="D"),
            "key": [f"k{i}" for i in range(100)], "sex": rng.choice(["F", "M"], 100), "y": "no",
        }
    )  # fmt: skip
    probabilities = rng.dirichlet([1, 1], 100)
    made = profile_of(rows, SCHEMA, probabilities.argmax(1), probabilities)
    assert set(made.columns) == {"x", "grade", "opened", "code"}
    assert set(made.groups) == {"sex"}
    assert set(made.scores) == {"no", "yes"}
    assert sum(made.decisions.values()) == made.rows == 100
    assert type(made).model_validate_json(made.model_dump_json()) == made
    assert all(d.psi == pytest.approx(0) for d in drifts(made.columns, made.columns))


def test_expected_counts_by_hand():
    found = expected_confusion(np.array([1, 0]), np.array([[0.2, 0.8], [0.9, 0.1]]))
    np.testing.assert_allclose(found, [[0.9, 0.2], [0.1, 0.8]])


def test_with_calibrated_probabilities_the_estimate_is_what_the_labels_will_say():
    rng = np.random.default_rng(5)
    p = rng.beta(1, 6, 4000)
    labels, decisions = (rng.random(4000) < p).astype(int), (p > 0.15).astype(int)
    found = estimates(decisions, np.stack([1 - p, p], 1), 0.95, rng, draws=200)
    confusion = confusion_matrix(labels, decisions, 2)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "f_beta", "mcc"):
        assert found[name].low < from_confusion(2.0)[name](confusion) < found[name].high, name
    # Certain of what is wrong half of the time: the estimate cannot know.
    sure = np.stack([1.0 - decisions, decisions], 1)
    assert estimates(decisions, sure, 0.95, rng, draws=50)["accuracy"].value == 1
    assert estimates(decisions[:0], sure[:0], 0.95, rng)["accuracy"].value is None
