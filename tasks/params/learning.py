"""The sections about learning: which learners there are, what competes, for how long, and what a trial may use."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from models.metrics.names import BY_NAME, EVERY_DOWN, EVERY_UP
from tasks.params.section import Count, Section

Learner = Literal["auto", "mlp", "resnet32", "tabm", "trees"]


class Model(Section):
    """Which learners compete and what they share."""

    learners: tuple[Learner, ...] = Field(
        ("auto",),
        min_length=1,
        description="auto: trees, mlp and tabm for tables, resnet32 for images. tabm is a stronger net than mlp and slower: auto tries it only where nothing acts during training.",
    )
    hidden: tuple[Count, ...] = Field((256, 256), description="Widths of the hidden layers of the mlp.")
    batch_size: Count = Field(512, description="Rows of a step of the nets.")
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

    def budget(self, counts_in: Literal["epochs", "iterations"]) -> int:
        """The full budget of a learner that counts in these."""
        return self.epochs if counts_in == "epochs" else self.iterations


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
    going_on: bool = Field(
        False,
        description="Whether nets that a rung keeps go on from where they stand, in a population that shrinks, in the place of "
        "training anew with the next budget. That spends less, but what a recipe does last (a learning rate that falls, "
        "weights that are deferred) comes after the first rungs, which judge without it. Trees always begin anew.",
    )
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


class Retrain(Section):
    """What a new model may learn from an older one; what was learned from it competes with what was not, and is judged alike."""

    start: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$",
        description="champion, another alias or a version (v3): recipes that need a champion (warm_start, distillation …) learn "
        "from it, and `recipes: auto` tries some. It is looked up when the rows or the parameters change. Null: from none.",
    )
    memory: Count = Field(
        2000,
        description="Most rows that recipes with `rehearsal` learn again, of those that the version learned and that are not in "
        "the data any more: by class as frequent as in all that it learned.",
    )


class Resources(Section):
    """What a trial may use."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: a GPU where there is one.")
    concurrent_trials: Count | None = Field(None, description="Trials at once. Null: as many as the cores allow.")
    cpus_per_trial: Annotated[float, Field(gt=0)] = Field(1.0, description="Cores that a trial reserves.")
    gpus_per_trial: Annotated[float, Field(ge=0)] = Field(
        0.5, description="Share of a GPU that a trial takes, where it trains on one."
    )
    recorded_steps: bool = Field(
        True,
        description="On a GPU, record a step of the training of nets and replay it (CUDA graphs), in the place of launching "
        "its operations one by one. What cannot be recorded is not, and the log says so.",
    )
    workers: Count = Field(
        1,
        description="Processes that train the chosen configuration together, if it is a net: each has the cores of a trial, "
        "passes its share of every batch, and the model is that of one process, up to rounding. Trees, and nets that "
        "normalize by the batch, are trained by one.",
    )
    ray: str = Field(
        "auto",
        description="Where trials run. auto: on the cluster that RAY_ADDRESS names, else on this machine; local: on this "
        "machine; HOST:PORT of the head of a cluster that this machine is a node of; or ray://HOST:PORT, the client server "
        "of a cluster that it is no node of.",
    )

    @field_validator("ray")
    @classmethod
    def _is_an_address(cls, ray: str) -> str:
        if ray not in ("auto", "local") and re.fullmatch(r"(ray://)?([\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}", ray) is None:
            raise ValueError(
                "write auto, local, HOST:PORT of a cluster's head, or ray://HOST:PORT of its client server"
            )
        return ray
