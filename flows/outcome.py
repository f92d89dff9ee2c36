"""What a run came to, read from what its stages wrote: registered or refused, why, and where the report is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flows.pipeline import CHOICE, METRICS, REGISTRATION, REPORT, VERDICT
from models.errors import InputError, RefusedError
from tasks.identity import redacted
from tasks.params import Params
from tasks.stage import read_json

Decision = Literal["registered", "refused"]


@dataclass(frozen=True)
class Outcome:
    """The end of a run. `version` is NAME@vN of a registered model; `why` says why one was refused.

    `champion` is NAME@vN of who is champion now: a model may be registered and another be promoted since.
    """

    decision: Decision
    verdict: str
    summary: str
    why: str
    version: str | None
    previous: str | None
    champion: str | None
    recipe: str
    learner: str
    metrics: dict[str, float | None]
    rules: tuple[dict[str, Any], ...]
    report: Path

    @property
    def exit_code(self) -> int:
        """0 for a registered model, 3 for a refused one."""
        return 0 if self.decision == "registered" else RefusedError.exit_code

    @property
    def headline(self) -> str:
        """The outcome in a line."""
        if self.decision == "refused":
            return "refused: not registered"
        if self.champion != self.version:
            return f"registered {self.version} (the champion is {self.champion or 'unset'})"
        return f"registered {self.version} (champion{f', before it {self.previous}' if self.previous else ''})"


class ModelRefusedError(RefusedError):
    """The policy refused the model of a run that went through; `outcome` says more."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.why)
        self.outcome = outcome


def read_outcome(root: Path, params: Params) -> Outcome:
    """The outcome of the run whose outputs are in the working copy; InputError where none came to its end."""
    from tasks.registry import CHAMPION, open_registry

    missing = next((path for path in (VERDICT, REGISTRATION, CHOICE, METRICS) if not (root / path).exists()), None)
    if missing is not None:
        raise InputError(f"no run has come to its end in {root}: there is no {missing}. Start one: equipoise run")
    verdict, registered, choice = (read_json(root / path) for path in (VERDICT, REGISTRATION, CHOICE))
    done = bool(registered["registered"])
    name = registered.get("name", params.model_name)
    champion = open_registry(params.registry.url, root).aliases(name).get(CHAMPION)
    return Outcome(
        decision="registered" if done else "refused",
        verdict=verdict["verdict"],
        summary=redacted(verdict["summary"]),
        why="" if done else redacted(registered["why"]),
        version=f"{name}@{registered['version']}" if done else None,
        previous=registered.get("previous_champion"),
        champion=f"{name}@{champion}" if champion else None,
        recipe=choice["recipe"],
        learner=choice["learner"],
        metrics=read_json(root / METRICS),
        rules=tuple(redacted(verdict["rules"])),
        report=root / REPORT,
    )
