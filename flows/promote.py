"""Moving an alias, as a flow."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from tasks.overrides import effective
from tasks.registry import CHAMPION, open_registry
from tasks.registry.summary import promote as move


@flow(name="promote", persist_result=False, validate_parameters=True)
def promote(reference: str, alias: str = CHAMPION, why: str = "", params_file: str | None = None) -> str:
    """Point an alias at a version (NAME@v3, NAME@challenger), in the registry of params.yaml."""
    root = Path.cwd()
    moved = move(
        open_registry(
            effective(root, params_file=Path(params_file) if params_file else None).params.registry.url, root
        ),
        reference,
        alias,
        why,
    )
    if not moved["moved"]:
        return f"{reference} is {alias} already"
    return f"{moved['name']}: {moved['alias']} is now {moved['to']} (before: {moved['from'] or 'none'})"
