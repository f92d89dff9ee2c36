"""Moving an alias, as a flow."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.concealed import conceal_parameters, concealed
from tasks.overrides import effective
from tasks.registry import CHAMPION, open_registry
from tasks.registry.summary import promote as move


@flow(name="promote", persist_result=False, validate_parameters=True)
def promote(reference: str, alias: str = CHAMPION, why: str = "", params_file: str | None = None) -> str:
    """Point an alias at a version (NAME@v3, NAME@challenger), in the registry of params.yaml."""
    with concealed():
        conceal_parameters()
        root, file = Path.cwd(), Path(params_file) if params_file else None
        registry = open_registry(effective(root, params_file=file).params.registry.url, root)
        moved = move(registry, reference, alias, why)
    if not moved["moved"]:
        return f"{reference} is {alias} already"
    return f"{moved['name']}: {moved['alias']} is now {moved['to']} (before: {moved['from'] or 'none'})"
