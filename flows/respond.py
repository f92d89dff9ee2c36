"""What follows from a look of the monitor: the deployment is triggered where there is a server, or the deed done here."""

from __future__ import annotations

import json
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


def respond(
    seen: Seen,
    name: str,
    overrides: dict[str, Any] | None = None,
    act: bool = False,
    params_file: Path | None = None,
) -> str:
    """Trigger what is asked for; returns what was done, in words.

    With a server the deployment `retrain/on-demand` or `rollback/on-demand` gets a run. Without one it is done here if
    `act` says so, else only announced. `overrides` and `params_file` are those of the retraining.
    """
    why = "; ".join(seen.reasons)
    if seen.action == "none":
        return "nothing to do"
    judged = seen.version.partition("@")[2]
    if server_is_set():
        # The version goes along: of two looks that ask for the same rollback, the second must not take away one more.
        asked: dict[str, Any] = {"name": name, "why": why, "version": judged}
        if seen.action == "retrain":
            asked = {"overrides": overrides or {}, "wait": True}
        return _triggered(seen.action, asked | ({"params_file": str(params_file)} if params_file is not None else {}))
    if not act:
        run = f"equipoise run --params {params_file}" if params_file is not None else "equipoise run"
        command = run if seen.action == "retrain" else f"equipoise registry rollback {name}"
        return f"{seen.action}: run `{command}`, or the monitor with --act"
    if seen.action == "roll back":
        from flows.rollback import rolled_back

        return rolled_back(name, why, judged, params_file)
    return _retrained(name, overrides or {}, params_file)


def _retrained(name: str, overrides: dict[str, Any], params_file: Path | None) -> str:
    """A run here, if it is one of that model. Raises InputError if the parameters are those of another."""
    from flows.drive import drive
    from tasks.overrides import effective

    root = Path.cwd()
    retrains = effective(root, tuple(overrides.items()), params_file).params.model_name
    if retrains != name:
        raise InputError(
            f"a run here would make a version of '{retrains}', and the monitor looked at '{name}'. Name the parameters that "
            f"'{name}' was made with: --params FILE"
        )
    settings = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in overrides.items()]
    code = drive(root, settings, params_file, wait=True)
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
