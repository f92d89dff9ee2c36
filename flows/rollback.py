"""Going back to the champion before, as a flow."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.concealed import conceal_parameters, concealed
from tasks.overrides import effective
from tasks.registry import open_registry
from tasks.registry.summary import rollback as roll


@flow(name="rollback", persist_result=False, validate_parameters=True)
def rollback(name: str, why: str = "", version: str | None = None, params_file: str | None = None) -> str:
    """Make the previous champion of a model champion again, in the registry of params.yaml.

    With a `version` (v3) only if that one is champion still.
    """
    with concealed():
        conceal_parameters()
        return rolled_back(name, why, version, Path(params_file) if params_file else None)


def rolled_back(name: str, why: str, version: str | None, params_file: Path | None = None) -> str:
    """Do it, and say what was done."""
    root = Path.cwd()
    registry = open_registry(effective(root, params_file=params_file).params.registry.url, root)
    moved = roll(registry, name, why, version)
    return f"{name}: {moved['alias']} is now {moved['to']} (before: {moved['from']})"
