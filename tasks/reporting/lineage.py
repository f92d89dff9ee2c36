"""Where the model comes from: data, split, recipe, refits and version, with the sums and versions to rebuild it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.reporting.numbers import count, plural, setting


@dataclass(frozen=True)
class Step:
    """One station on the way from the data to the version."""

    name: str
    value: str
    details: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Names and values; `open` tables are shown, the others are folded away."""

    title: str
    rows: tuple[tuple[str, str], ...]
    open: bool


@dataclass(frozen=True)
class Lineage:
    """The section's content."""

    steps: tuple[Step, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Identity:
    """What tasks/identity.py knows of code, files and libraries."""

    code: Mapping[str, Any]
    tables: Mapping[str, Mapping[str, Any]]
    lock: Mapping[str, Any]
    libraries: Mapping[str, str | None]


def lineage_view(
    model: str,
    dataset: str,
    source: Sequence[tuple[str, str]],
    parts: Mapping[str, int],
    split_by: str,
    choice: Mapping[str, Any],
    refits: Sequence[int],
    params: Mapping[str, Any],
    found: Identity,
) -> Lineage:
    """The stations in the order in which the data passes them, then the record behind them."""
    sums = [(name, f"sha256 {entry['sha256']}, {count(entry['bytes'])} bytes") for name, entry in found.tables.items()]
    rows = next((entry["sha256"] for entry in found.tables.values()), "")
    values = ", ".join(f"{k} {setting(v)}" for k, v in (choice.get("values") or {}).items())
    steps = (
        Step("Data", dataset, (f"sha256 {rows[:12]}…",) if rows else ()),
        Step("Split", f"by {split_by}" if split_by != "stratified" else "stratified", (_parts(parts),)),
        Step(
            "Recipe",
            f"{choice['recipe']} ({choice['learner']})",
            tuple(t for t in (f"trial {choice['trial']}", values) if t),
        ),
        Step("Refit", plural(len(refits), "seed"), ("averaged into one predictor",)),
        Step("Version", model, _version(found.code)),
    )
    tables = (
        Table("Code", _code(found.code, found.lock), True),
        Table("Data", (*source, *sums), True),
        Table("Seeds", (("params.yaml: seed", setting(params.get("seed"))), ("refits", setting(list(refits)))), True),
        Table("Parameters", tuple(_flat(params)), False),
        Table("Package versions", tuple((k, v or "not installed") for k, v in found.libraries.items()), False),
    )
    return Lineage(steps, tables)


def _version(code: Mapping[str, Any]) -> tuple[str, ...]:
    commit = str(code.get("commit") or "")
    made = (f"code {commit[:10]}" + (", changed since" if code.get("dirty") else ""),) if commit else ()
    return (*made, "numbered on registration, which needs a pass")


def _parts(parts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count(rows)}" for name, rows in parts.items())


def _code(code: Mapping[str, Any], lock: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The commit and whether the working copy differed from it."""
    rows = [("Commit", str(code.get("commit") or "not known"))]
    remote = str(code.get("remote") or "")
    if "://" in remote or "@" in remote:  # a path tells of this machine, not of the code
        rows.append(("Repository", remote))
    if code.get("note"):
        rows.append(("Note", str(code["note"])))
    if code.get("dirty"):
        changed = list(code.get("changed") or [])
        shown = ", ".join(changed[:8]) + (f" and {len(changed) - 8} more" if len(changed) > 8 else "")
        rows.append(
            (
                "Changed since",
                f"{plural(len(changed), 'file')}: {shown}; sha256 of their content {code.get('difference_sha256')}",
            )
        )
    elif code.get("dirty") is False:
        rows.append(("Changed since", "nothing"))
    rows += [(name, f"sha256 {value}" if value else "there is none") for name, value in lock.items()]
    return tuple(rows)


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Dotted keys with their values, in the order of the file."""
    rows: list[tuple[str, str]] = []
    for key, item in value.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(item, Mapping) and item:
            rows += _flat(item, name)
        elif isinstance(item, (list, tuple)) and any(isinstance(i, Mapping) for i in item):
            for i, entry in enumerate(item):
                rows += (
                    _flat(entry, f"{name}[{i}]") if isinstance(entry, Mapping) else [(f"{name}[{i}]", setting(entry))]
                )
        else:
            rows.append((name, setting(item)))
    return rows
