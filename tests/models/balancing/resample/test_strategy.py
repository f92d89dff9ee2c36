"""sampling_strategy: what imbalanced-learn makes of it, and what is refused and how."""

import numpy as np
import pytest

from models.balancing.resample.strategy import class_totals
from models.errors import InputError

TWO, THREE = ("no", "yes"), ("a", "b", "c")
BINARY = np.repeat([0, 1], [100, 20])
MANY = np.repeat([0, 1, 2], [100, 50, 10])


@pytest.mark.parametrize(
    ("strategy", "direction", "expected"),
    [
        ("auto", "over", {1: 100, 2: 100}),
        ("all", "over", {0: 100, 1: 100, 2: 100}),
        ("minority", "over", {2: 100}),
        ("not minority", "over", {0: 100, 1: 100}),
        ({"c": 40}, "over", {2: 40}),
        ("auto", "under", {0: 10, 1: 10}),
        ("majority", "under", {0: 10}),
        ({"a": 60, "b": 50}, "under", {0: 60, 1: 50}),
    ],
)
def test_names_and_counts_give_the_rows_of_each_class(strategy, direction, expected):
    assert class_totals(strategy, MANY, THREE, direction, "method") == expected


def test_a_ratio_is_smaller_over_larger_class():
    assert class_totals(0.5, BINARY, TWO, "over", "random_over") == {1: 50}
    assert class_totals(0.5, BINARY, TWO, "under", "random_under") == {0: 40}


@pytest.mark.parametrize(
    ("strategy", "labels", "classes", "direction", "message"),
    [
        ("minorty", BINARY, TWO, "over", "Did you mean 'minority'"),
        ("majority", BINARY, TWO, "over", "'majority' does not fit 'method'"),
        ("minority", BINARY, TWO, "under", "'minority' does not fit 'method'"),
        (0.5, MANY, THREE, "over", "is for two classes, but the target has 3"),
        (1.5, BINARY, TWO, "over", r"1.5 is not a ratio"),
        (0.0, BINARY, TWO, "over", r"0 is not a ratio"),
        (0.1, BINARY, TWO, "over", r"'yes' \(20 rows\) already has 0.2 times the rows of 'no' \(100\)"),
        (0.1, BINARY, TWO, "under", r"already has 0.2 times"),
        ({"yse": 50}, BINARY, TWO, "over", "no class 'yse'. Did you mean 'yes'"),
        ({"yes": 5}, BINARY, TWO, "over", "'yes' has 20 training rows and 5 are asked for"),
        ({"yes": 50}, BINARY, TWO, "under", "'yes' has 20 training rows and 50 are asked for"),
        ({"yes": -1}, BINARY, TWO, "under", "-1 rows of class 'yes'"),
        ({"c": 5}, BINARY, THREE, "over", "class 'c' has no training rows"),
        ("auto", np.zeros(5, int), TWO, "over", "all training rows are 'no'"),
    ],
)
def test_what_cannot_be_reached_is_an_error_that_says_why(strategy, labels, classes, direction, message):
    with pytest.raises(InputError, match=message):
        class_totals(strategy, labels, classes, direction, "method")
