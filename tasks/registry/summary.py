"""What `equipoise registry` shows: plain dictionaries, for a table on a terminal and for --json alike."""

from __future__ import annotations

from typing import Any

from models.errors import InputError
from tasks.registry.aliases import Move
from tasks.registry.manifest import CorruptError
from tasks.registry.names import CHAMPION, PREVIOUS, check_name, parse_reference
from tasks.registry.registry import Registry


def list_models(registry: Registry) -> list[dict[str, Any]]:
    """One entry per model: name, number of versions, the latest, and where its aliases point."""
    rows: list[dict[str, Any]] = []
    for name in registry.names():
        versions = registry.versions(name)
        aliases = registry.aliases(name)
        rows.append(
            {
                "name": name,
                "versions": len(versions),
                "latest": versions[-1],
                "champion": aliases.get(CHAMPION),
                "previous": aliases.get(PREVIOUS),
                "aliases": aliases,
            }
        )
    return rows


def list_versions(registry: Registry, name: str) -> list[dict[str, Any]]:
    """One entry per version of a model, newest first: version, when, by whom, aliases, digest and its summary.

    A damaged one is listed with what is wrong with it under `damaged`, and does not hide the others.
    """
    aliases = registry.aliases(check_name(name))
    rows: list[dict[str, Any]] = []
    for version in reversed(registry.versions(name)):
        try:
            manifest = registry.manifest(name, version)
        except CorruptError as error:
            rows.append({"version": version, "aliases": _aliases_of(version, aliases), "damaged": str(error)})
            continue
        rows.append(
            {
                "version": version,
                "created": manifest.created,
                "by": manifest.by,
                "aliases": _aliases_of(version, aliases),
                "digest": manifest.digest,
                "summary": manifest.summary,
            }
        )
    return rows


def show(registry: Registry, reference: str) -> dict[str, Any]:
    """Everything about one model, or about one version of it (NAME@v3, NAME@champion); a version is verified.

    For a model (a bare NAME): its versions, its aliases and their history, newest first.
    """
    name, which = parse_reference(reference)
    if "@" not in reference:
        if not registry.versions(name):
            registry.resolve(name, which)
        history = [describe_move(move) for move in reversed(registry.history(name))]
        return {
            "name": name,
            "aliases": registry.aliases(name),
            "versions": list_versions(registry, name),
            "history": history,
        }
    loaded = registry.load(name, which)
    manifest = loaded.manifest
    return {
        "name": name,
        "version": loaded.version,
        "created": manifest.created,
        "by": manifest.by,
        "aliases": _aliases_of(loaded.version, registry.aliases(name)),
        "digest": manifest.digest,
        "verified": True,
        "directory": str(loaded.directory),
        "summary": manifest.summary,
        "files": {path: entry.model_dump() for path, entry in manifest.files.items()},
    }


def promote(registry: Registry, reference: str, alias: str = CHAMPION, why: str = "") -> dict[str, Any]:
    """Point an alias at a version (NAME@v3, or NAME@challenger); says what was moved, or that nothing had to be."""
    name, which = parse_reference(reference)
    if "@" not in reference:
        raise InputError(f"which version of {name}? Write {name}@v1 or {name}@challenger.")
    version = registry.resolve(name, which).version
    move = registry.promote(name, version, alias, why=why)
    if move is None:
        return {"name": name, "moved": False, "alias": alias, "to": version, "aliases": registry.aliases(name)}
    return {"name": name, "moved": True, **describe_move(move)}


def rollback(registry: Registry, name: str, why: str = "") -> dict[str, Any]:
    """Bring back the previous champion; says what was moved."""
    return {"name": name, "moved": True, **describe_move(registry.rollback(name, why=why))}


def describe_move(move: Move) -> dict[str, Any]:
    """One line of the history."""
    return {
        "number": move.number,
        "action": move.action,
        "alias": move.alias,
        "from": move.from_version,
        "to": move.to_version,
        "who": move.who,
        "when": move.when,
        "why": move.why,
        "aliases": {alias: pointer.version for alias, pointer in move.aliases.items()},
    }


def _aliases_of(version: str, aliases: dict[str, str]) -> list[str]:
    return sorted(alias for alias, target in aliases.items() if target == version)
