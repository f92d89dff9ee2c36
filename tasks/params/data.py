"""The sections about the rows: where they come from, what is predicted, how they are checked and split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from tasks.params.section import Count, Section, Share

ColumnKind = Literal["numeric", "categorical", "ordinal", "date", "identifier", "image"]
DAY = r"^\d{4}-\d{2}-\d{2}$"


class Data(Section):
    """Where the rows come from: a name of the catalogue, or a path of the user's own."""

    name: str | None = Field("lending", description="A data set of data/catalog.yaml. Null when `path` is given.")
    path: str | None = Field(
        None,
        description="Your own CSV, Parquet or folder of images per class: a path from the working copy, s3:// or https://.",
    )
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="What `path` must hash to, if you want that checked."
    )
    rows: Count | None = Field(None, description="Keep at most this many rows, drawn at random by class.")
    imbalance_ratio: Annotated[float, Field(ge=1)] | None = Field(
        None, description="For long-tailed image sets: largest / smallest class."
    )
    id: str | None = Field(None, description="Column that identifies a row; must be unique; never a feature.")
    time: str | None = Field(None, description="Column that orders the rows in time, for split.by: time.")
    since: str | None = Field(
        None, pattern=DAY, description="Keep rows from this day on, by the column of time (2025-01-31)."
    )
    until: str | None = Field(None, pattern=DAY, description="Keep rows before this day, by the column of time.")
    weight: str | None = Field(None, description="Column of non-negative row weights.")
    columns: dict[str, ColumnKind] = Field(
        default_factory=dict,
        description="Kinds of columns, where they are not guessed right: {zip: categorical}. numeric, categorical, ordinal, date, "
        "identifier (never a feature) or image.",
    )
    drop: tuple[str, ...] = Field((), description="Columns that must not be features.")
    unlabelled: Literal["drop", "use"] = Field(
        "drop",
        description="Rows without a value of the target. drop: they are left out, and the card says so; use: they are kept "
        "apart from all four parts, for recipes that learn from rows without a label.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        if self.path is not None and self.name not in (None, "lending"):
            raise ValueError("give either data.name or data.path, not both; set data.name to null")
        if self.path is None and self.name is None:
            raise ValueError("neither data.name nor data.path is given; name a data set or a path")
        return self

    @property
    def label(self) -> str:
        """The name of the data set, for messages and as the default name of the model."""
        return Path(self.path.split("?")[0].rstrip("/")).stem if self.path else str(self.name)


class Target(Section):
    """What is predicted. Null values are taken from the catalogue."""

    column: str | None = Field(None, description="The target column. Null: from the catalogue.")
    columns: tuple[str, ...] | None = Field(
        None, min_length=2, description="Several labels of a row, one column each: yes, true or 1 where the row has it."
    )
    kind: Literal["auto", "binary", "multiclass", "ordinal", "multilabel", "regression"] = Field(
        "auto",
        description="auto: what the catalogue says; else multilabel with `columns` or `separator`, ordinal with `order`, "
        "regression for a number with more than 20 values and no `bins`, binary for two values, multiclass for the rest.",
    )
    positive: str | int | float | None = Field(
        None, description="The positive class of a binary target. Null: catalogue, else the rarer."
    )
    bins: tuple[float, ...] | None = Field(
        None, description="Cut points that turn a numeric target into classes: (-inf, b0], (b0, b1], …"
    )
    order: tuple[str, ...] | None = Field(
        None, min_length=2, description="The classes of an ordinal target from low to high."
    )
    separator: str | None = Field(
        None, min_length=1, description="What stands between the labels of a row in one column, for several labels."
    )
    balance_bins: Annotated[int, Field(ge=2)] | tuple[float, ...] | None = Field(
        None,
        description="Bins of a number, by which rows are balanced and split: how many of equal width (thin ones are merged), "
        "or their cut points. Null: the catalogue's, else 10.",
    )


class Sensitive(Section):
    """One sensitive attribute; a numeric one needs cut points."""

    column: str = Field(
        ..., description="The column. Its groups are its values, and those without a value a group of their own."
    )
    bins: tuple[float, ...] | None = Field(
        None,
        description="Cut points that turn a numeric column into groups: [25, 40] gives <=25, 26-40 and >40. The attribute is "
        "then called like the column with _group at its end (age_group), in rules too.",
    )
    values: tuple[str, ...] | None = Field(None, description="The values that must be covered. Null: those that occur.")

    @property
    def name(self) -> str:
        """Name of the group attribute in every table and report: the column, or column_group for a binned one."""
        return f"{self.column}_group" if self.bins else self.column


class Limit(NamedTuple):
    """Which limit a check takes (None: none), whether it must be given, its valid range, what it limits, and what it looks for."""

    key: Literal["at_most", "at_least"] | None
    required: bool = True
    low: float = 0
    high: float = float("inf")
    of: str = ""
    says: str = ""


CHECKS: Mapping[str, Limit] = {
    "imbalance_ratio": Limit(
        "at_most", low=1, of="the rows of the largest class over those of the smallest", says="a class that is too rare"
    ),
    "rows_per_class": Limit("at_least", low=1, of="rows", says="a class with too few rows"),
    "rows_per_class_and_group": Limit("at_least", low=1, of="rows", says="a class with too few rows in a group"),
    "group_coverage": Limit(
        "at_least", required=False, low=1, of="rows; 1 if not given", says="a group that does not occur, or hardly"
    ),
    "missing_rate": Limit("at_most", high=1, of="the share of missing values", says="a column that is mostly empty"),
    "missing_rate_gap": Limit(
        "at_most", high=1, of="the difference of two shares", says="a column that is empty more often in one group than in another"
    ),
    "identifier_leakage": Limit(
        "at_most", required=False, high=1, of="a share; 0.99 if not given",
        says="a column that names rows, or gives the target away",
    ),
    "target_not_missing": Limit(None, says="a row without a value of the target"),
    "constant_column": Limit(None, says="a column with one value alone"),
    "distinct_values": Limit(
        "at_most", high=1, of="the share of different values among all", says="a column of words that hardly repeat"
    ),
}  # fmt: skip


class Check(Section):
    """One data check and how much it weighs."""

    check: Literal[
        "imbalance_ratio", "rows_per_class", "rows_per_class_and_group", "group_coverage", "missing_rate",
        "missing_rate_gap", "identifier_leakage", "target_not_missing", "constant_column",
        "distinct_values",
    ] = Field(..., description="What is looked for.")  # fmt: skip
    at_most: float | None = Field(None, description="The limit of a check that has an upper one.")
    at_least: float | None = Field(None, description="The limit of a check that has a lower one.")
    columns: tuple[str, ...] | None = Field(
        None, description="Columns (or sensitive attributes) it applies to. Null: all that fit."
    )
    severity: Literal["error", "warning"] = Field(
        "warning", description="error: the run ends before anything is trained; warning: it is said in log and report."
    )

    @model_validator(mode="after")
    def _limit(self) -> Check:
        limit = CHECKS[self.check]
        for key in ("at_most", "at_least"):
            if getattr(self, key) is not None and key != limit.key:
                takes = f"it takes {limit.key}, {limit.of}" if limit.key else "it takes no limit"
                raise ValueError(f"{self.check} has no {key}; {takes}")
        if limit.key is None:
            return self
        value = getattr(self, limit.key)
        if value is None and limit.required:
            raise ValueError(f"{self.check} needs {limit.key}: {limit.of}")
        if value is not None and not limit.low <= value <= limit.high:
            bounds = (
                f"of at least {limit.low:g}" if limit.high == float("inf") else f"in [{limit.low:g}, {limit.high:g}]"
            )
            raise ValueError(f"{limit.key} is {value:g}; {self.check} needs a value {bounds}: {limit.of}")
        return self


class Split(Section):
    """Four parts: training rows train, validation rows choose, calibration rows adjust, test rows judge once."""

    by: Literal["stratified", "time", "official"] = Field(
        "stratified",
        description="stratified: drawn by class and group; time: the oldest rows train and the newest test (data.time); official: "
        "the published test rows test, or those that a column official_split of your own calls so (train or test).",
    )
    train: Share = Field(0.6, description="Share of the rows that learn.")
    valid: Share = Field(0.15, description="Share that the search compares by.")
    calib: Share = Field(0.1, description="Share that temperatures and thresholds are fitted on.")
    test: Share = Field(0.15, description="Share that the model is judged on, once.")

    @model_validator(mode="after")
    def _sum(self) -> Split:
        total = self.train + self.valid + self.calib + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + valid + calib + test is {total:g}; make it 1")
        return self


SAMPLING = ("auto", "all", "minority", "majority", "not minority", "not majority")


class Resample(Section):
    """Settings of the resamplers; which of them run follows from the recipes in search."""

    sampling_strategy: float | str | dict[str, int] = Field(
        "auto", description="As in imbalanced-learn: a name, a ratio, or rows per class."
    )
    k_neighbors: Count = Field(5, description="Of SMOTE: how many neighbours a row is made between.")

    @model_validator(mode="after")
    def _strategy(self) -> Resample:
        strategy = self.sampling_strategy
        if isinstance(strategy, str) and strategy not in SAMPLING:
            raise ValueError(f"sampling_strategy: no strategy '{strategy}'; choose one of {', '.join(SAMPLING)}")
        if isinstance(strategy, float) and not 0 < strategy <= 1:
            raise ValueError(f"sampling_strategy: {strategy:g} is not a ratio; give smaller / larger class, in (0, 1]")
        return self
