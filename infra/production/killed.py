"""An automation of Prefect that finds the runs which were killed, so that they are told of and hold nobody up.

Runs of deployments send a heartbeat every half minute (infra/prefect.yaml), the shortest that Prefect allows, so that one or
two may be late. A run that is killed together with its worker says nothing any more. For Prefect it would run for ever, and keep its place
among the runs of its deployment until that lapses.
"""

from __future__ import annotations

from infra.production.api import Api
from infra.production.automations import OF_OURS, give_up, see_to

NAME = "equipoise-killed"
HEARTBEAT = "prefect.flow-run.heartbeat"
OVER = (
    "Completed", "Failed", "Refused", "Crashed", "TimedOut", "Cancelling", "Cancelled", "Paused", "Suspended",
    "AwaitingRetry", "Scheduled",
)  # fmt: skip
"""States after which a run need not say anything."""


def watch(api: Api, seconds: int | None) -> None:
    """A run that begins to send heartbeats and then is silent for so long has crashed. None: there is no such rule."""
    if seconds is None:
        give_up(api, NAME)
        return
    automation = {
        "name": NAME,
        "description": f"A run of which nothing was heard for {seconds} s was killed, or its machine is gone.",
        "enabled": True,
        "trigger": {
            "type": "event",
            "posture": "Proactive",
            **OF_OURS,
            "after": [HEARTBEAT],
            "expect": [HEARTBEAT, *(f"prefect.flow-run.{state}" for state in OVER)],
            "threshold": 1,
            "within": seconds,
        },
        "actions": [
            {
                "type": "change-flow-run-state",
                "state": "CRASHED",
                "name": "Crashed",
                "message": f"Nothing was heard of it for {seconds} s: it was killed, or its machine is gone.",
            }
        ],
    }
    see_to(api, automation)
