"""Each expectation on rows small enough to count by hand, through Great Expectations itself."""

import numpy as np
import pandas as pd
import pytest

from tasks.expectations.balance import (
    ExpectColumnImbalanceRatioToBeAtMost,
    ExpectColumnRowsPerClassToBeAtLeast,
    ExpectGroupsToBeCovered,
    ExpectRowsPerClassAndGroupToBeAtLeast,
)
from tasks.expectations.base import percent
from tasks.expectations.declared import ExpectColumnValuesToBeFinite
from tasks.expectations.leakage import (
    ExpectColumnNotToIdentifyRows,
    ExpectColumnNotToRevealTarget,
    can_name,
    revealed,
)
from tasks.expectations.missing import ExpectColumnMissingRateGapToBeAtMost, ExpectColumnMissingRateToBeAtMost
from tasks.validate import evaluate

CLASSES, GROUPS = ["no", "yes"], ["A", "B", "C"]


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """100 rows: 80 no, 20 yes; A has 70 rows (10 yes), B 30 rows (10 yes), C none; income is missing in 14 of A, 12 of B."""
    group = np.array(["A"] * 70 + ["B"] * 30)
    target = np.array(["yes"] * 10 + ["no"] * 60 + ["yes"] * 10 + ["no"] * 20)
    income = np.linspace(1, 2, 100)
    income[10:24] = np.nan
    income[80:92] = np.nan
    return pd.DataFrame({"target": target, "group": group, "income": income})


def check(expectation, rows):
    (result,) = evaluate([expectation], rows)
    assert not result.exception_info["raised_exception"], result.exception_info["exception_message"]
    return bool(result.success), result.result["observed_value"], result.result["details"]


@pytest.mark.parametrize(("at_most", "passes"), [(4, True), (3.99, False)])
def test_imbalance_ratio_is_largest_over_smallest(rows, at_most, passes):
    success, observed, details = check(
        ExpectColumnImbalanceRatioToBeAtMost(column="target", classes=CLASSES, at_most=at_most), rows
    )
    assert success is passes
    assert details["value"] == 4
    assert observed == "4 ('no' 80 rows, 'yes' 20 rows)"


def test_a_class_without_rows_makes_the_ratio_infinite_and_counts_as_nothing(rows):
    never = [*CLASSES, "never"]
    success, observed, details = check(
        ExpectColumnImbalanceRatioToBeAtMost(column="target", classes=never, at_most=1e9), rows
    )
    assert not success
    assert details["value"] is None
    assert observed.startswith("infinite ('no' 80 rows, 'never' 0 rows)")
    success, observed, details = check(
        ExpectColumnRowsPerClassToBeAtLeast(column="target", classes=never, at_least=1), rows
    )
    assert (success, details["too_small"]) == (False, {"never": 0})


@pytest.mark.parametrize(("at_least", "short"), [(20, {}), (21, {"yes": 20})])
def test_rows_per_class(rows, at_least, short):
    success, _, details = check(
        ExpectColumnRowsPerClassToBeAtLeast(column="target", classes=CLASSES, at_least=at_least), rows
    )
    assert success is not bool(short)
    assert details["counts"] == {"no": 80, "yes": 20}
    assert details["too_small"] == short


def test_rows_per_class_and_group_reports_every_cell_and_absent_ones_as_zero(rows):
    success, observed, details = check(
        ExpectRowsPerClassAndGroupToBeAtLeast(
            column="group", target="target", classes=CLASSES, groups=GROUPS, at_least=20
        ),
        rows,
    )
    assert not success
    assert details["counts"] == {"no & A": 60, "no & B": 20, "no & C": 0, "yes & A": 10, "yes & B": 10, "yes & C": 0}
    assert details["too_small"] == {"no & C": 0, "yes & A": 10, "yes & B": 10, "yes & C": 0}
    assert observed.startswith("4 of 6 cells short: 'no & C' 0 rows, 'yes & C' 0 rows")


def test_every_declared_group_must_be_covered(rows):
    assert check(ExpectGroupsToBeCovered(column="group", groups=["A", "B"], at_least=30), rows)[0]
    success, observed, _ = check(ExpectGroupsToBeCovered(column="group", groups=GROUPS, at_least=1), rows)
    assert not success
    assert observed == "1 of 3 groups short: 'C' 0 rows"


@pytest.mark.parametrize(("at_most", "passes"), [(0.26, True), (0.25, False)])
def test_missing_rate(rows, at_most, passes):
    success, observed, details = check(ExpectColumnMissingRateToBeAtMost(column="income", at_most=at_most), rows)
    assert success is passes
    assert details["value"] == pytest.approx(0.26)
    assert observed == "26% (26 of 100 rows)"


def test_a_text_may_stand_for_a_missing_value(rows):
    told = rows.assign(group=rows["group"].replace("B", "missing"))
    _, _, details = check(ExpectColumnMissingRateToBeAtMost(column="group", at_most=0.5, missing_value="missing"), told)
    assert details["value"] == pytest.approx(0.3)


def test_missing_rate_gap_compares_groups_with_enough_rows_and_names_the_others(rows):
    def gap(at_most, table):
        return check(
            ExpectColumnMissingRateGapToBeAtMost(column="income", attribute="group", groups=GROUPS, at_most=at_most),
            table,
        )

    success, observed, details = gap(0.2, rows)
    assert success
    assert details["rates"] == {"A": pytest.approx(0.2), "B": pytest.approx(0.4)}
    assert details["value"] == pytest.approx(0.2)
    assert details["too_small"] == {"C": 0}
    assert observed == "20 points ('B' 40%, 'A' 20%); too few rows to judge (below 30): 'C' 0"
    assert not gap(0.19, rows)[0]
    few = rows.head(99)
    success, observed, details = gap(0.0, few)
    assert success
    assert details["too_small"] == {"B": 29, "C": 0}
    assert observed.startswith("fewer than two groups with enough rows to compare")


def test_infinite_numbers_are_counted(rows):
    assert check(ExpectColumnValuesToBeFinite(column="income"), rows)[0]
    broken = rows.assign(income=rows["income"].mask(rows.index < 2, np.inf))
    success, observed, _ = check(ExpectColumnValuesToBeFinite(column="income"), broken)
    assert not success
    assert observed == "2 infinite values in 100 rows"


def identifies(values, at_most=0.99, declared=False):
    frame = pd.DataFrame({"x": values})
    return not check(ExpectColumnNotToIdentifyRows(column="x", at_most=at_most, declared=declared), frame)[0]


def test_texts_and_numbers_that_name_rows_are_found():
    random = np.random.default_rng(0)
    assert identifies([f"customer {i}" for i in range(50)])
    assert identifies(np.arange(50) * 1000.0)
    assert identifies(random.permutation(np.arange(50)) + 7.0)
    assert identifies(np.unique(random.integers(10**8, 10**9, 50))[random.permutation(50)].astype(float))
    assert identifies([*[f"customer {i}" for i in range(995)], *["other"] * 5])
    assert identifies(["a", "b"] * 25, declared=True)


def test_measurements_and_repeated_values_do_not_name_rows():
    random = np.random.default_rng(0)
    assert not identifies(random.normal(size=50))
    assert not identifies(np.round(random.lognormal(10, 1, 50)))
    assert not identifies(pd.date_range("2024-01-01", periods=50).to_numpy())
    assert not identifies([*[f"customer {i}" for i in range(90)], *["other"] * 10])
    assert not identifies([f"customer {i}" for i in range(10)])
    assert not identifies([None] * 50)
    assert not can_name(pd.Series([True, False]))


def test_a_feature_that_gives_the_target_away_is_found(rows):
    leak = rows.assign(outcome=rows["target"].map({"no": "repaid", "yes": "written off"}))
    success, _, details = check(ExpectColumnNotToRevealTarget(column="outcome", target="target", at_most=0.99), leak)
    assert not success
    assert details["value"] == 1
    assert check(ExpectColumnNotToRevealTarget(column="group", target="target", at_most=0.99), rows)[0]


def test_revealed_by_hand():
    target = pd.Series(["a"] * 6 + ["b"] * 4)
    assert revealed(target, target) == 1
    assert revealed(pd.Series(["x"] * 10), target) == 0
    # y: four of a and one of b; z: two of a and three of b. Each row is guessed by the others with its value.
    column = pd.Series(["y"] * 4 + ["z"] * 2 + ["y"] + ["z"] * 3)
    assert revealed(column, target) == pytest.approx((4 / 6 + 3 / 4) / 2)


def test_a_value_of_its_own_reveals_nothing_and_numbers_do_when_a_threshold_separates():
    random = np.random.default_rng(0)
    target = pd.Series(np.where(np.arange(4000) % 20 == 0, "yes", "no"))
    assert revealed(pd.Series([f"row {i}" for i in range(4000)]), target) == 0
    assert revealed(pd.Series(random.normal(size=4000)), target) < 0.7
    separated = pd.Series(random.normal(size=4000) + 100 * (target == "yes"))
    assert revealed(separated, target) > 0.99
    assert revealed(pd.Series(np.where(target == "yes", np.nan, random.normal(size=4000))), target) > 0.99


def test_rows_without_a_target_or_classes_of_one_row_reveal_nothing():
    assert revealed(pd.Series(["x", "y", "y"]), pd.Series(["a", "b", "b"])) is None
    assert revealed(pd.Series(["x", "y", "x", "y", "z"]), pd.Series(["a", "b", "a", "b", None])) == 1


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0%"), (1, "100%"), (0.5, "50%"), (0.1234, "12.3%"), (0.0001, "0.010%"), (1e-9, "1.00e-09")]
)
def test_a_share_that_is_not_nothing_is_not_shown_as_nothing(share, text):
    assert percent(share) == text


def test_several_expectations_come_back_in_the_order_given(rows):
    expectations = [
        ExpectColumnMissingRateToBeAtMost(column="income", at_most=0.5),
        ExpectColumnRowsPerClassToBeAtLeast(column="target", classes=CLASSES, at_least=50),
        ExpectColumnMissingRateToBeAtMost(column="group", at_most=0.5),
        ExpectColumnRowsPerClassToBeAtLeast(column="target", classes=CLASSES, at_least=5),
    ]
    assert [r.success for r in evaluate(expectations, rows)] == [True, False, True, True]
