"""Going back to the champion before, as a flow."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from tasks.overrides import effective
from tasks.registry import open_registry
from tasks.registry.summary import rollback as roll


@flow(name="rollback", persist_result=False, validate_parameters=True)
def rollback(name: str, why: str = "", params_file: str | None = None) -> str:
    """Make the previous champion of a model champion again, in the registry of params.yaml."""
    return rolled_back(name, why, Path(params_file) if params_file else None)


def rolled_back(name: str, why: str, params_file: Path | None = None) -> str:
    """Do it, and say what was done."""
    root = Path.cwd()
    moved = roll(open_registry(effective(root, params_file=params_file).params.registry.url, root), name, why)
    return f"{name}: {moved['alias']} is now {moved['to']} (before: {moved['from']})"
