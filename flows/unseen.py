"""What DVC cannot see: that data outside the working copy changed, or that the registry did."""

from __future__ import annotations

from pathlib import Path

from flows.pipeline import CARD, REGISTRATION, START, VERDICT
from models.errors import InputError
from tasks.params import Params
from tasks.stage import read_json


def stale_data(root: Path, params: Params) -> str | None:
    """Why the user's own data must be read again although no parameter changed, or None."""
    if params.data.path is None or not (root / CARD).exists():
        return None
    from tasks.sources.download import is_remote
    from tasks.sources.files import Locations, locate

    if is_remote(params.data.path):
        return None if params.data.sha256 else f"{params.data.path} may have changed"
    known = {file["sha256"] for file in read_json(root / CARD)["source"]["files"]}
    present = {file.sha256 for file in locate(params.data, Locations.of_environment()).files}
    return None if present == known else f"{params.data.path} changed"


def lost_version(root: Path, params: Params) -> str | None:
    """Why the model must be registered again although it was, or None."""
    if not (root / REGISTRATION).exists():
        return None
    from tasks.registry import open_registry

    registered = read_json(root / REGISTRATION)
    if not registered["registered"]:
        return None
    registry = open_registry(params.registry.url, root)
    name, version = registered["name"], registered["version"]
    return None if version in registry.versions(name) else f"{name}@{version} is not in {params.registry.url}"


def stale_verdict(root: Path, params: Params) -> str | None:
    """Why a verdict does not count any more although nothing it was made from changed, or None: another champion."""
    if not (root / VERDICT).exists():
        return None
    from tasks.registry import CHAMPION, open_registry

    judged = (read_json(root / VERDICT).get("champion") or {}).get("version")
    registry = open_registry(params.registry.url, root)
    present = registry.aliases(params.model_name).get(CHAMPION)
    if present == judged or present == _own(root, params):
        return None
    return f"the champion is {present or 'unset'}, and the verdict compares with {judged or 'none'}"


def stale_start(root: Path, params: Params) -> str | None:
    """Why what a run learns from must be looked up again, or None: the alias points to another version.

    The version that this very model was registered as is what came of it, and no reason to begin again.
    """
    asked = params.retrain.start
    if asked is None or not (root / START).exists():
        return None
    from tasks.registry import open_registry

    present = open_registry(params.registry.url, root).aliases(params.model_name).get(asked)
    known = read_json(root / START)["version"]
    if present is None or present == known or present == _own(root, params):
        return None
    return f"{asked} is {present}, and the run learns from {known or 'none'}"


def _own(root: Path, params: Params) -> str | None:
    """The version that this very model was registered as."""
    try:
        registered = read_json(root / REGISTRATION)
    except InputError:
        return None
    mine = registered["registered"] and registered["name"] == params.model_name
    return str(registered["version"]) if mine else None
