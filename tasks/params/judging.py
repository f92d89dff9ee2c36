"""The sections about judging: how test rows are judged, the policy, where versions are kept, and when they are doubted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from models.metrics.names import EVERY, EVERY_UP, compares_groups
from models.metrics.terms import BETA
from tasks.params.section import Count, Fraction, Section


class Evaluate(Section):
    """How the test rows are judged."""

    bootstrap: Annotated[int, Field(ge=50)] = Field(1000, description="Draws for intervals that have no formula.")
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = Field(0.95, description="Of every interval.")
    evidence_rows: Count = Field(50, description="A group with fewer test rows is insufficient evidence.")
    evidence_per_class: Count = Field(10, description="… or with fewer test rows of a class that the figure needs.")
    intersections: bool = Field(True, description="Whether groups of several attributes at once are looked at as well.")
    calibration_bins: Annotated[int, Field(ge=2)] = Field(15, description="Bins of the calibration error.")
    beta: Annotated[float, Field(ge=0.01, le=100)] = Field(
        BETA,
        description="How many times as much as precision recall counts in the metric `f_beta`, wherever it is named: below 1 "
        "a false alarm weighs more than a miss.",
    )


class Rule(Section):
    """One gate. Absolute (at_least / at_most), or against the champion on the same rows (worse_by_at_most)."""

    metric: Literal[EVERY] = Field(..., description="What is judged, on test rows.")  # type: ignore[valid-type]
    at_least: float | None = Field(None, description="The least that passes.")
    at_most: float | None = Field(None, description="The most that passes.")
    worse_by_at_most: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="By how much it may be worse than the champion on the same rows. Without a champion it does not apply.",
    )
    attribute: str | None = Field(
        None,
        description="For metrics that compare groups: the sensitive attribute (age_group where age has bins), or several: sex & age_group. "
        "Null: each of them.",
    )
    judge_by: Literal["estimate", "interval"] = Field(
        "estimate", description="interval: the whole interval must keep the limit."
    )

    @model_validator(mode="after")
    def _one_limit(self) -> Rule:
        given = [k for k in ("at_least", "at_most", "worse_by_at_most") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of at_least, at_most, worse_by_at_most; found {given or 'none'}")
        return self


class Gates(Section):
    """The policy: a model is registered only if no rule fails."""

    rules: tuple[Rule, ...] = Field((), description="At least one; a policy without rules is refused.")
    unsuitable: Literal["error", "leave_out"] = Field(
        "error", description="What becomes of a rule on a metric that this kind of target does not have."
    )
    insufficient_evidence: Literal["fail", "warn"] = Field(
        "warn",
        description="What a rule without enough rows does to the verdict. warn: nothing, if another could be judged; fail: the model is "
        "not registered.",
    )

    @model_validator(mode="after")
    def _some_rules(self) -> Gates:
        if not self.rules:
            raise ValueError("a policy with no rules would let every model through; add at least one rule")
        return self


class Registry(Section):
    """Where versions are kept."""

    url: str = Field(
        "file://registry", description="file://PATH, relative to the working copy or absolute; or s3://BUCKET/PREFIX."
    )
    name: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$", description="Name of the model. Null: the data set's."
    )


class Monitor(Section):
    """When rows that come later ask for another model. Figures are those of the rows on which the champion was judged."""

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        0.01, description="Chance of a false alarm over all columns of one partition, corrected for their number."
    )
    psi: Annotated[float, Field(ge=0)] = Field(
        0.1, description="A change counts if it is certain by alpha and its stability index is at least this."
    )
    metric: Literal["auto", *EVERY_UP] = Field(  # type: ignore[valid-type]
        "auto",
        description="What is judged once labels are there, and of classes estimated before; not a gap. auto: balanced "
        "accuracy, of a number R².",
    )
    worse_by: Fraction = Field(
        0.03,
        description="Retrain if the metric is lower than on test rows by more than this, for the whole interval of the difference.",
    )
    ece: Fraction = Field(0.05, description="Retrain if the calibration error's whole interval lies above this.")
    roll_back_by: Fraction = Field(
        0.03, description="Roll back if the version before is better by more than this, for the whole interval."
    )
    rows: Count = Field(200, description="A partition with fewer rows is not judged, and says so.")

    @model_validator(mode="after")
    def _over_rows(self) -> Monitor:
        if self.metric != "auto" and compares_groups(self.metric):
            raise ValueError(f"metric: {self.metric} compares groups; gaps are shown, and one metric is judged")
        return self
