"""How figures are written: no false precision, no zero that is not one, no number where there is no evidence."""

from __future__ import annotations

import pytest

from tasks.reporting import words
from tasks.reporting.numbers import Figure, count, decimal, percent, plural, setting


def test_decimals() -> None:
    assert [decimal(v) for v in (0.12345, -0.25, -0.0001, None)] == ["0.123", "−0.250", "0.000", "–"]


def test_a_small_share_is_not_zero() -> None:
    assert [percent(v) for v in (0, 0.00001, 0.0004, 0.0625, 1, None)] == [
        "0%",
        "<0.01%",
        "0.04%",
        "6.2%",
        "100.0%",
        "–",
    ]


def test_counts_and_plurals() -> None:
    assert count(1234567) == "1\u202f234\u202f567"
    assert [plural(1, "class", "classes"), plural(2, "class", "classes"), plural(0, "row")] == [
        "1 class",
        "2 classes",
        "0 rows",
    ]


def test_settings() -> None:
    assert [setting(v) for v in (None, True, 0.001234567, [1, "a"], {"k": 2})] == [
        "none",
        "yes",
        "0.001235",
        "1, a",
        "k: 2",
    ]


@pytest.mark.parametrize("found", [None, {"value": None, "note": "12 rows, needs 50"}, {"value": float("nan")}])
def test_no_value_is_insufficient_evidence(found: object) -> None:
    figure = Figure.of(found)  # type: ignore[arg-type]
    assert figure.value is None
    assert figure.interval == ""
    assert figure.spoken == "insufficient evidence"


def test_figure_keeps_interval_count_and_note() -> None:
    figure = Figure.of({"value": 0.5, "low": 0.4, "high": 0.6, "rows": 20, "note": "few rows"})
    assert (figure.text, figure.interval, figure.rows, figure.note) == ("0.500", "0.400 to 0.600", 20, "few rows")


def test_every_metric_of_a_gate_has_a_meaning() -> None:
    assert all(words.meaning(name) for name in words.BY_NAME)


def test_names_within_a_sentence() -> None:
    names = ["Balanced accuracy", "ROC AUC", "F1", "G-mean", "Macro F1", "Brier score", "Matthews correlation"]
    assert [words.lower_first(n) for n in names] == [
        "balanced accuracy", "ROC AUC", "F1", "G-mean", "macro F1", "Brier score", "Matthews correlation",
    ]  # fmt: skip
