"""Automations of Prefect that the set keeps, each by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.production.api import Api

FLOWS = ("retrain", "monitor", "promote", "rollback")
OF_OURS: Mapping[str, Any] = {
    "match": {"prefect.resource.id": "prefect.flow-run.*"},
    "match_related": {"prefect.resource.role": "flow", "prefect.resource.name": list(FLOWS)},
    "for_each": ["prefect.resource.id"],
}
"""The part of a trigger that looks at runs of the project's flows, each for itself."""


def see_to(api: Api, automation: Mapping[str, Any]) -> None:
    """Make it, or bring the one of that name up to date."""
    known = api.call("automations/filter", {"automations": {"name": {"any_": [automation["name"]]}}})
    if known:
        api.call(f"automations/{known[0]['id']}", automation, "PUT")
    else:
        api.call("automations/", automation)


def give_up(api: Api, name: str) -> None:
    """Remove the one of that name, if there is one."""
    for known in api.call("automations/filter", {"automations": {"name": {"any_": [name]}}}):
        api.call(f"automations/{known['id']}", method="DELETE")
