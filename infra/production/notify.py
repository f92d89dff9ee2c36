"""An automation of Prefect that tells an address of every run that failed or was refused."""

from __future__ import annotations

from typing import Any

from infra.production.api import Api
from infra.production.automations import OF_OURS, see_to

NAME = "equipoise-not-registered"
BLOCK = "equipoise-webhook"
STATES = ("Failed", "Refused", "Crashed", "TimedOut")

MESSAGE = """{
  "text": {{ (flow.name ~ " " ~ flow_run.name ~ ": " ~ flow_run.state.name ~ ": " ~ (flow_run.state.message or "")) | tojson }},
  "flow": {{ flow.name | tojson }},
  "run": {{ flow_run.id | string | tojson }},
  "state": {{ flow_run.state.name | tojson }}
}"""
"""JSON: `text` is what chat services show; the others are for programs. What a run says is quoted, whatever is in it."""


def tell(api: Api, address: str) -> None:
    """Make the automation and its block, or bring them up to date. The address, often a secret, is kept in the block only."""
    block = _block(api, address)
    automation = {
        "name": NAME,
        "description": "A retraining, a look of the monitor, a promotion or a rollback failed, or was refused.",
        "enabled": True,
        "trigger": {
            "type": "event",
            "posture": "Reactive",
            **OF_OURS,
            "expect": [f"prefect.flow-run.{state}" for state in STATES],
            "threshold": 1,
            "within": 0,
        },
        "actions": [{"type": "call-webhook", "block_document_id": block, "payload": MESSAGE}],
    }
    see_to(api, automation)


def _block(api: Api, address: str) -> str:
    """The block's id."""
    data: dict[str, Any] = {"method": "POST", "url": address, "headers": {"Content-Type": "application/json"}}
    known = api.find(f"block_types/slug/webhook/block_documents/name/{BLOCK}")
    if known:
        api.call(f"block_documents/{known['id']}", {"data": data, "merge_existing_data": False}, "PATCH")
        return str(known["id"])
    kind = api.call("block_types/slug/webhook")["id"]
    (schema, *_) = api.call("block_schemas/filter", {"block_schemas": {"block_type_id": {"any_": [kind]}}})
    made = api.call(
        "block_documents/", {"name": BLOCK, "data": data, "block_type_id": kind, "block_schema_id": schema["id"]}
    )
    return str(made["id"])
