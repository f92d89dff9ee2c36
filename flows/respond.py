"""What follows from a look of the monitor: the deployment is triggered where there is a server, or the deed done here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from models.errors import InputError
from tasks.monitoring.seen import Action, Seen

RETRAIN, ROLLBACK = "retrain/on-demand", "rollback/on-demand"


def server_is_set() -> bool:
    """Whether runs are kept by a Prefect server of the user's, which deployments live on."""
    from prefect.settings import get_current_settings

    return bool(os.environ.get("PREFECT_API_URL") or get_current_settings().api.url)


def respond(seen: Seen, name: str, overrides: dict[str, Any] | None = None, act: bool = False) -> str:
    """Trigger what is asked for; returns what was done, in words.

    With a server the deployment `retrain/on-demand` or `rollback/on-demand` gets a run. Without one it is done here if
    `act` says so, else only announced.
    """
    why = "; ".join(seen.reasons)
    if seen.action == "none":
        return "nothing to do"
    judged = seen.version.partition("@")[2]
    if server_is_set():
        # The version goes along: of two looks that ask for the same rollback, the second must not take away one more.
        asked = {"name": name, "why": why, "version": judged}
        return _triggered(
            seen.action, asked if seen.action == "roll back" else {"overrides": overrides or {}, "wait": True}
        )
    if not act:
        command = "equipoise run" if seen.action == "retrain" else f"equipoise registry rollback {name}"
        return f"{seen.action}: run `{command}`, or the monitor with --act"
    if seen.action == "roll back":
        from flows.rollback import rolled_back

        return rolled_back(name, why, judged)
    from flows.drive import drive

    settings = [f"{key}={value}" for key, value in (overrides or {}).items()]
    code = drive(Path.cwd(), settings, None, wait=True)
    return f"retrained here; the run ended with exit code {code}"


def _triggered(action: Action, parameters: dict[str, Any]) -> str:
    from prefect.deployments import run_deployment
    from prefect.exceptions import ObjectNotFound

    deployment = RETRAIN if action == "retrain" else ROLLBACK
    try:
        run: Any = run_deployment(deployment, parameters=parameters, timeout=0)
    except ObjectNotFound:
        raise InputError(
            f"the server has no deployment '{deployment}'. Deploy it: "
            "prefect --no-prompt deploy --prefect-file infra/prefect.yaml --all"
        ) from None
    return f"{action}: {deployment} was triggered ({run.name})"
