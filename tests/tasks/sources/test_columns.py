"""Typing: what kind a column is follows from its values, and what it was read from makes no difference."""

import numpy as np
import pandas as pd
import pytest

from models.errors import InputError
from models.schema import Kind
from models.values import as_text
from tasks.sources.columns import range_order, type_column


def text(values: list[str | None], name: str = "column") -> pd.Series:
    return pd.Series(values, name=name, dtype="str")


@pytest.mark.parametrize(
    ("values", "name", "kind"),
    [
        (["1", "2.5", None, "-3e2"], "x", "numeric"),
        (["0", "1", "1", "0"], "flag", "numeric"),
        (["true", "false", None], "flag", "categorical"),
        (["red", "blue", "red"], "colour", "categorical"),
        (["2024-01-31", "2024-02-29"], "day", "date"),
        (["2024-01-31 10:00", "2024-02-29T11:30:15Z"], "moment", "date"),
        (["31.01.2024", "29.02.2024"], "day", "categorical"),
        (["18-25", "26-40", "65+"], "band", "ordinal"),
        (["Less than 25", "25 - 45", "Greater than 45"], "band", "ordinal"),
        (["<1", "1 to 5", ">5"], "years", "ordinal"),
        ([f"name {i}" for i in range(30)], "who", "identifier"),
        ([f"name {i % 10}" for i in range(30)], "who", "categorical"),
        ([str(i) for i in range(30)], "number", "identifier"),
        ([str(i * i) for i in range(30)], "square", "numeric"),
        ([str(i * i) for i in range(30)], "customer_id", "identifier"),
        ([str(i * i) for i in range(30)], "customerId", "identifier"),
        ([str(i % 3) for i in range(30)], "shop_id", "numeric"),
        ([str(i / 7) for i in range(30)], "price_index", "numeric"),
    ],
)
def test_kind_is_guessed(values: list[str | None], name: str, kind: Kind) -> None:
    assert type_column(text(values, name), None, None).kind == kind


@pytest.mark.parametrize("values", [["1,234.50", "2,000"], ["1.234,5", "2.000,0"], ["2,5", "3,5"], ["12 000", "7 000"]])
def test_numbers_in_another_form_are_no_words(values: list[str | None]) -> None:
    with pytest.raises(InputError, match=f"such as '{values[0]}'. Write them as 1234.5"):
        type_column(text(values), None, None)


def test_words_without_an_order_are_not_ordinal() -> None:
    assert range_order(text(["low", "high"])) is None
    assert range_order(text(["5-3", "1-2"])) is None
    assert range_order(text(["1", "2", "3+"])) is None


def test_ranges_are_ordered_from_low_to_high() -> None:
    assert range_order(text(["41+", "18-25", "<18", "26-40", None])) == ("<18", "18-25", "26-40", "41+")


@pytest.mark.parametrize(
    ("values", "row", "value"),
    [(["1", "2", "x", "3"], 3, "x"), (["a", "b", "7", "c"], 3, "7"), ([None, "1", "2", None, "three"], 5, "three")],
)
def test_numbers_among_words_are_an_error_that_names_the_odd_one(
    values: list[str | None], row: int, value: str
) -> None:
    with pytest.raises(
        InputError, match=rf"column 'x' mixes numbers and words: row {row} holds '{value}'.*data\.columns\.x"
    ):
        type_column(text(values, "x"), None, None)


def test_row_numbers_count_rows_of_the_source_not_of_what_is_left() -> None:
    column = text(["1", "2", "x", "3"], "x")
    with pytest.raises(InputError, match="row 3 holds 'x'"):
        type_column(column[[1, 2, 3]], None, None)


def test_dates_of_any_zone_become_moments_without_one() -> None:
    typed = type_column(text(["2024-01-31T10:00:00+02:00", None]), "date", None)
    assert typed.values.iloc[0] == pd.Timestamp("2024-01-31 08:00")
    assert pd.isna(typed.values.iloc[1])


def test_a_value_outside_the_declared_order_is_an_error() -> None:
    with pytest.raises(InputError, match=r"'huge' is not in its declared order \(small, large\)"):
        type_column(text(["small", "huge"]), "ordinal", ("small", "large"))


def test_bytes_are_not_guessed_at() -> None:
    with pytest.raises(InputError, match=r"holds bytes.*image"):
        type_column(pd.Series([b"a", b"b"], name="x", dtype=object), None, None)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, 2, 1]),
        pd.Series([1.0, 2.0, 1.0]),
        pd.Series(["1", "2", "1"], dtype="str"),
        pd.Series([1, 2, 1], dtype=np.int8),
        pd.Series(["1", 2, 1.0], dtype=object),
    ],
)
def test_a_code_reads_the_same_whatever_it_was_stored_as(column: pd.Series) -> None:
    assert as_text(column).tolist() == ["1", "2", "1"]


def test_text_of_missing_values_booleans_and_fractions() -> None:
    assert as_text(pd.Series([True, False])).tolist() == ["true", "false"]
    written = as_text(pd.Series([0.5, np.nan, 3.0]))
    assert written.isna().tolist() == [False, True, False]
    assert written.dropna().tolist() == ["0.5", "3"]
