"""The order of the stages, and how each is driven: how long it may take and whether trying again can help."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.stage import Stage

MINUTES = 60.0
HOURS = 3600.0


@dataclass(frozen=True)
class Step:
    """One stage as the drivers see it.

    `says` is what a person reads while it runs. `timeout` in seconds is far beyond what is normal: it ends what hangs.
    `retries` are for stages that reach for a network or a store; the others would fail in the same way again.
    """

    name: str
    says: str
    timeout: float = 2 * HOURS
    retries: int = 0
    retry_delay: float = 10.0
    tags: tuple[str, ...] = ()

    def stage(self) -> Stage:
        """The stage itself; imports what it needs to run."""
        stage: Stage = importlib.import_module(f"tasks.{self.name}").STAGE
        return stage


PIPELINE = (
    Step("ingest", "reading the data", retries=2, tags=("io", "data")),
    Step("validate", "checking the data", timeout=30 * MINUTES, tags=("data",)),
    Step("split", "splitting in four parts", timeout=30 * MINUTES, tags=("data",)),
    Step("start", "looking for a version to learn from", retries=1, tags=("io", "registry")),
    Step("resample", "writing the resampled tables", tags=("data",)),
    Step("tune", "searching recipe and hyperparameters", timeout=48 * HOURS, tags=("training",)),
    Step("train", "training the winner again", timeout=24 * HOURS, tags=("training",)),
    Step("evaluate", "judging it on test rows", tags=("judging",)),
    Step("audit", "judging it by group", tags=("judging",)),
    Step("gate", "applying the policy", timeout=30 * MINUTES, retries=1, tags=("io", "judging")),
    Step("report", "writing the report", timeout=30 * MINUTES, tags=("judging",)),
    Step("register", "registering", timeout=30 * MINUTES, retries=2, tags=("io", "registry")),
)
STEPS = {step.name: step for step in PIPELINE}

VERDICT = Path("data/gate/verdict.json")
REGISTRATION = Path("data/register/registration.json")
REPORT = Path("data/report/report.html")
CARD = Path("data/ingest/card.json")
START = Path("data/start/start.json")
TRIALS = Path("data/tune/trials.json")
CHOICE = Path("data/tune/choice.json")
METRICS = Path("data/evaluate/metrics.json")
"""What a finished run is summed up from; tests/flows/test_pipeline.py holds these against the stages' own outputs."""
