"""params.yaml as typed, frozen objects: parsed once, here, and handed down."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from models.errors import InputError
from models.metrics.names import BY_GROUP, BY_NAME, EVERY, EVERY_DOWN, EVERY_UP, METRICS_UP

Share = Annotated[float, Field(gt=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
ColumnKind = Literal["numeric", "categorical", "ordinal", "date", "identifier", "image"]


class Section(BaseModel):
    """Base of every section: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


DAY = r"^\d{4}-\d{2}-\d{2}$"


class Data(Section):
    """Where the rows come from: a name of the catalogue, or a path of the user's own."""

    name: str | None = Field("lending", description="A data set of data/catalog.yaml. Null when `path` is given.")
    path: str | None = Field(
        None, description="Your own CSV, Parquet or folder of images per class: path, s3:// or https://."
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
        default_factory=dict, description="Column kinds, where they are not guessed right."
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

    column: str
    bins: tuple[float, ...] | None = Field(None, description="Cut points that turn a numeric column into groups.")
    values: tuple[str, ...] | None = Field(None, description="The values that must be covered. Null: those that occur.")

    @property
    def name(self) -> str:
        """Name of the group attribute in every table and report: the column, or column_group for a binned one."""
        return f"{self.column}_group" if self.bins else self.column


class Limit(NamedTuple):
    """Which limit a check takes (None: none), whether it must be given, its valid range, and what it limits."""

    key: Literal["at_most", "at_least"] | None
    required: bool = True
    low: float = 0
    high: float = float("inf")
    of: str = ""


CHECKS: Mapping[str, Limit] = {
    "imbalance_ratio": Limit("at_most", low=1, of="the rows of the largest class over those of the smallest"),
    "rows_per_class": Limit("at_least", low=1, of="rows"),
    "rows_per_class_and_group": Limit("at_least", low=1, of="rows"),
    "group_coverage": Limit("at_least", required=False, low=1, of="rows; 1 if not given"),
    "missing_rate": Limit("at_most", high=1, of="the share of missing values"),
    "missing_rate_gap": Limit("at_most", high=1, of="the difference of two shares"),
    "identifier_leakage": Limit("at_most", required=False, high=1, of="a share; 0.99 if not given"),
    "target_not_missing": Limit(None),
    "constant_column": Limit(None),
}


class Check(Section):
    """One data check and how much it weighs."""

    check: Literal[
        "imbalance_ratio", "rows_per_class", "rows_per_class_and_group", "group_coverage", "missing_rate",
        "missing_rate_gap", "identifier_leakage", "target_not_missing", "constant_column",
    ]  # fmt: skip
    at_most: float | None = None
    at_least: float | None = None
    columns: tuple[str, ...] | None = Field(
        None, description="Columns (or sensitive attributes) it applies to. Null: all that fit."
    )
    severity: Literal["error", "warning"] = "warning"

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

    by: Literal["stratified", "time", "official"] = "stratified"
    train: Share = 0.6
    valid: Share = 0.15
    calib: Share = 0.1
    test: Share = 0.15

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
    k_neighbors: Count = 5

    @model_validator(mode="after")
    def _strategy(self) -> Resample:
        strategy = self.sampling_strategy
        if isinstance(strategy, str) and strategy not in SAMPLING:
            raise ValueError(f"sampling_strategy: no strategy '{strategy}'; choose one of {', '.join(SAMPLING)}")
        if isinstance(strategy, float) and not 0 < strategy <= 1:
            raise ValueError(f"sampling_strategy: {strategy:g} is not a ratio; give smaller / larger class, in (0, 1]")
        return self


Learner = Literal["auto", "mlp", "resnet32", "tabm", "trees"]


class Model(Section):
    """Which learners compete and what they share."""

    learners: tuple[Learner, ...] = Field(
        ("auto",),
        min_length=1,
        description="auto: trees, mlp and tabm for tables, resnet32 for images. tabm is a stronger net than mlp and slower: auto tries it only where nothing acts during training.",
    )
    hidden: tuple[Count, ...] = Field((256, 256), description="Widths of the hidden layers of the mlp.")
    batch_size: Count = 512
    epochs: Count = Field(20, description="Passes over the training rows at full budget.")
    patience: Count = Field(5, description="Stop after this many epochs without a better validation loss.")
    iterations: Count = Field(200, description="Boosting rounds of the trees at full budget.")
    refits: Count = Field(
        3, description="Seeds with which the chosen configuration is refitted; the predictor averages them."
    )
    ensemble: bool = Field(
        False,
        description="Average the chosen configuration with the best of every other learner that trained the same recipe, where that lowers the validation log loss.",
    )
    sensitive_features: bool = Field(False, description="Whether the model may read the sensitive attributes.")


AUTO = "auto"


class Budget(Section):
    """How long the search goes on: for a number of trainings, or for a time."""

    trials: Annotated[int, Field(ge=2)] | None = Field(
        None,
        description="Trainings. Recipes that differ only in what is adjusted after training share them: each is judged with "
        "every such adjustment, as a trial of its own in the record. 'none' and 'prior_threshold' are always among them.",
    )
    minutes: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Wall-clock time of the search from its first line to its record, the start of its processes among it, kept "
        "within 5%; such a search is not reproducible.",
    )

    @model_validator(mode="after")
    def _one(self) -> Budget:
        if (self.trials is None) == (self.minutes is None):
            found = "neither" if self.trials is None else "both"
            raise ValueError(
                f"give one of trials and minutes; found {found}. Write budget: {{trials: 40}} or budget: {{minutes: 10}}"
            )
        return self


class Search(Section):
    """What competes, for how long, and what wins."""

    recipes: Literal["auto"] | Annotated[tuple[str | dict[str, Any], ...], Field(min_length=1)] = Field(
        ...,
        description="auto: published recipes that fit the data and what is asked. Or a list of names (`ldam_drw`) and "
        "compositions by slot; `auto` may stand in it too.",
    )
    unsuitable: Literal["error", "leave_out"] = Field(
        "error", description="What becomes of a recipe that does not fit the data, such as one for tables on images."
    )
    budget: Budget = Field(
        default_factory=lambda: Budget(trials=24),
        description="{trials: 24} or {minutes: 10}: what the search may spend.",
    )
    rounds: Count = Field(
        2,
        description="Suggestions come in this many rounds; each learns from the ones before. In a search by time, as many as fit.",
    )
    halving: Annotated[int, Field(ge=2)] = Field(
        3, description="Each rung keeps one in this many trainings, by the best trial of each."
    )
    rungs: Count = Field(2, description="Budgets on the way to the full one.")
    maximize: Literal["auto", *EVERY_UP] = Field(  # type: ignore[valid-type]
        "auto",
        description="A metric. auto: balanced accuracy; of a number its balanced mean absolute error is minimized.",
    )
    minimize: Literal[EVERY_DOWN] | None = Field(  # type: ignore[valid-type]
        None, description="A metric of which less is better, in the place of `maximize`."
    )
    subject_to: dict[Literal[EVERY_DOWN], Annotated[float, Field(ge=0)]] = Field(  # type: ignore[valid-type]
        default_factory=dict, description="Limits on metrics of which less is better, on validation rows."
    )
    retries: Annotated[int, Field(ge=0)] = Field(2, description="How often a trial that failed is tried again.")

    @model_validator(mode="after")
    def _objective(self) -> Search:
        if self.minimize is not None and self.maximize != "auto":
            raise ValueError(
                f"maximize {self.maximize} and minimize {self.minimize}: a search has one objective; keep one"
            )
        for name, limit in self.subject_to.items():
            if limit > 1 and not BY_NAME[name].unit:
                raise ValueError(f"subject_to.{name}: {limit:g} limits nothing; give a fraction in [0, 1]")
        return self


class Evaluate(Section):
    """How the test rows are judged."""

    bootstrap: Annotated[int, Field(ge=50)] = 1000
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    evidence_rows: Count = Field(50, description="A group with fewer test rows is insufficient evidence.")
    evidence_per_class: Count = Field(10, description="… or with fewer test rows of a class that the figure needs.")
    intersections: bool = True
    calibration_bins: Annotated[int, Field(ge=2)] = 15


class Rule(Section):
    """One gate. Absolute (at_least / at_most), or against the champion on the same rows (worse_by_at_most)."""

    metric: Literal[EVERY]  # type: ignore[valid-type]
    at_least: float | None = None
    at_most: float | None = None
    worse_by_at_most: Annotated[float, Field(ge=0)] | None = None
    attribute: str | None = Field(None, description="For group metrics: the sensitive attribute. Null: each of them.")
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
    """The policy: a model is registered only if every rule passes."""

    rules: tuple[Rule, ...] = Field((), description="At least one; a policy without rules is refused.")
    unsuitable: Literal["error", "leave_out"] = Field(
        "error", description="What becomes of a rule on a metric that this kind of target does not have."
    )
    insufficient_evidence: Literal["fail", "warn"] = Field(
        "warn", description="What a rule without enough rows does to the verdict."
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
    metric: Literal[METRICS_UP] = Field(  # type: ignore[valid-type]
        "balanced_accuracy", description="What is judged once labels are there, and estimated before; not a gap."
    )
    worse_by: Fraction = Field(
        0.03, description="Retrain if the metric's whole interval lies further than this below its value on test rows."
    )
    ece: Fraction = Field(0.05, description="Retrain if the calibration error's whole interval lies above this.")
    roll_back_by: Fraction = Field(
        0.03, description="Roll back if the version before is better by more than this, for the whole interval."
    )
    rows: Count = Field(200, description="A partition with fewer rows is not judged, and says so.")

    @model_validator(mode="after")
    def _over_rows(self) -> Monitor:
        if self.metric in BY_GROUP:
            raise ValueError(f"metric: {self.metric} compares groups; gaps are shown, and one metric is judged")
        return self


class Resources(Section):
    """What a trial may use."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    concurrent_trials: Count | None = Field(None, description="Trials at once. Null: as many as the cores allow.")
    cpus_per_trial: Annotated[float, Field(gt=0)] = 1.0
    gpus_per_trial: Annotated[float, Field(ge=0)] = 0.5
    ray: str = Field(
        "auto",
        description="Where trials run. auto: on the cluster that RAY_ADDRESS names, else on this machine; local: on this "
        "machine; or HOST:PORT of the head of a cluster that this machine is a node of.",
    )

    @field_validator("ray")
    @classmethod
    def _is_an_address(cls, ray: str) -> str:
        if ray.startswith("ray://"):
            raise ValueError(
                "the search follows its trials from within the cluster, which Ray's client for machines outside of it "
                "does not allow: run it (or the worker that runs it) on a node, and give HOST:PORT of the head"
            )
        if ray not in ("auto", "local") and re.fullmatch(r"[\w.-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}", ray) is None:
            raise ValueError("write auto, local, or HOST:PORT of a cluster's head")
        return ray


class Params(Section):
    """All of params.yaml."""

    seed: Annotated[int, Field(ge=0)] = 0
    data: Data = Field(default_factory=Data)
    target: Target = Field(default_factory=Target)
    sensitive: Literal["auto"] | tuple[str | Sensitive, ...] = Field(
        "auto", description="Sensitive attributes; auto: the catalogue's."
    )
    checks: tuple[Check, ...] = ()
    split: Split = Field(default_factory=Split)
    resample: Resample = Field(default_factory=Resample)
    model: Model = Field(default_factory=Model)
    search: Search
    evaluate: Evaluate = Field(default_factory=Evaluate)
    gates: Gates
    registry: Registry = Field(default_factory=Registry)
    resources: Resources = Field(default_factory=Resources)
    monitor: Monitor = Field(default_factory=Monitor)

    @model_validator(mode="after")
    def _coherent(self) -> Params:
        from tasks.params_coherence import contradictions

        found = list(contradictions(self))
        if found:
            raise ValueError("\n".join(found))
        return self

    @property
    def model_name(self) -> str:
        """Name under which versions are registered."""
        return (
            self.registry.name or re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9_.-]+", "-", self.data.label).strip("-") or "model"
        )

    def only(self, sections: Iterable[str]) -> Params:
        """A view that has these sections alone; reading another is a defect of the stage and raises."""
        view = Params.model_construct(_fields_set=set(sections), **{s: getattr(self, s) for s in sections})
        for missing in set(Params.model_fields) - set(sections):
            view.__dict__.pop(missing, None)
        return view


SECTIONS = tuple(Params.model_fields)
OF_A_MODEL = tuple(section for section in SECTIONS if section != "monitor")
"""What a model is made of and judged by; the monitor's policy is about what comes later."""


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping, without its comments. Duplicate keys and broken syntax are named by line."""
    return parse_yaml(read_text(path), str(path))


def read_text(path: Path) -> str:
    """The text of a YAML file; a missing one, or one that is not UTF-8, is an InputError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist. Run in the working copy, or correct the path.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a YAML file. Name the file in it.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from None


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """The mapping that a YAML text holds."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise InputError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise InputError(f"{where} must hold a mapping of sections; found {type(value).__name__}.")
    return value


def load_params(path: Path) -> Params:
    """Parse and check params.yaml. Every problem is listed at once: where, what was wrong, what to do."""
    return parse_params(read_yaml(path), str(path))


def parse_params(raw: Mapping[str, Any], where: str = "params.yaml") -> Params:
    """The typed object for a mapping. Types are taken strictly: a number in quotes is a text, and `true` is no number."""
    from tasks.params_errors import describe

    try:
        return Params.model_validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as error:
        raise InputError(describe(error, raw, Params, where)) from None


def check_recipes(params: Params, where: str = "params.yaml") -> None:
    """Raise InputError unless every recipe of the search can be built. Imports torch, so it is not part of parsing."""
    from models.recipe import competitors
    from tasks.search.entrants import named

    competitors(named(params.search), f"{where}: search.recipes")


def schema() -> dict[str, Any]:
    """The JSON Schema of params.yaml, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Params.model_json_schema()}
