"""What `equipoise registry` shows: plain dictionaries, for a table on a terminal and for --json alike."""

from __future__ import annotations

from typing import Any

from models.errors import InputError
from tasks.registry.aliases import Move
from tasks.registry.index import Damaged
from tasks.registry.interface import Expected, Registry
from tasks.registry.names import CHAMPION, PREVIOUS, check_name, parse_reference, version_number


def list_models(registry: Registry) -> list[dict[str, Any]]:
    """One entry per model: name, number of versions, the latest, and where its aliases point."""
    rows: list[dict[str, Any]] = []
    for name in registry.names():
        latest = registry.latest(name)
        if latest is None:
            continue
        aliases = registry.aliases(name)
        rows.append(
            {
                "name": name,
                "versions": version_number(latest),
                "latest": latest,
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
    named: dict[str, list[str]] = {}
    for alias, version in sorted(aliases.items()):
        named.setdefault(version, []).append(alias)
    rows: list[dict[str, Any]] = []
    for entry in reversed(registry.listing(name)):
        row = {"version": entry.version, "aliases": named.get(entry.version, [])}
        if isinstance(entry, Damaged):
            rows.append({**row, "damaged": entry.why})
            continue
        rows.append(
            {
                **row,
                "created": entry.created,
                "by": entry.by,
                "digest": entry.digest,
                "summary": entry.summary,
            }
        )
    return rows


def show(registry: Registry, reference: str) -> dict[str, Any]:
    """Everything about one model, or about one version of it (NAME@v3, NAME@champion); a version is verified.

    For a model (a bare NAME): its versions, its aliases and their history, newest first.
    """
    name, which = parse_reference(reference)
    if "@" not in reference:
        if registry.latest(name) is None:
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
        "where": loaded.where,
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


def rollback(registry: Registry, name: str, why: str = "", version: str | None = None) -> dict[str, Any]:
    """Bring back the previous champion, if `version` (any, where none is named) is champion still; says what was moved."""
    if version is not None and version_number(version) is None:
        raise InputError(f"{version!r} is no version. Write v3, or name none: then whichever is champion has to go.")
    return {"name": name, "moved": True, **describe_move(registry.rollback(name, why, version or Expected.PRESENT))}


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
