"""Two versions side by side: parameters, recipe, figures, data and code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.rebuild.paired import paired_differences
from tasks.rebuild.record import Record

SHORT = 12


def difference(first: Record, second: Record, root: Path) -> dict[str, Any]:
    """What differs, as plain JSON: {"a": …, "b": …} for each value, and the paired differences of the metrics (b - a)."""
    paired = paired_differences(first, second, root)
    return {
        "a": first.reference,
        "b": second.reference,
        "same_content": first.loaded.manifest.digest == second.loaded.manifest.digest,
        "recipe": changed(_recipe(first), _recipe(second)),
        "params": changed(first.document("params"), second.document("params")),
        "metrics": changed(first.document("metrics"), second.document("metrics"), all_of_them=True),
        "paired": {"rows": paired.rows, "note": paired.note, "differences": list(paired.differences)},
        "data": changed(_data(first), _data(second)),
        "code": changed(_code(first), _code(second)),
    }


def changed(first: Any, second: Any, all_of_them: bool = False) -> dict[str, dict[str, Any]]:
    """Dotted keys with both values, of what differs; or of everything."""
    a, b = dict(flat(first)), dict(flat(second))
    keys = [*a, *(key for key in b if key not in a)]
    return {key: {"a": a.get(key), "b": b.get(key)} for key in keys if all_of_them or a.get(key) != b.get(key)}


def flat(value: Any, prefix: str = "") -> Sequence[tuple[str, Any]]:
    """Dotted keys with their values; a list of plain values is one."""
    if isinstance(value, Mapping) and value:
        return [item for key, inner in value.items() for item in flat(inner, f"{prefix}.{key}" if prefix else str(key))]
    if isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        return [item for i, inner in enumerate(value) for item in flat(inner, f"{prefix}[{i}]")]
    return [(prefix, value)]


def _recipe(record: Record) -> dict[str, Any]:
    choice = record.document("choice")
    return {key: choice.get(key) for key in ("recipe", "learner", "values")} | {
        "seeds": record.identity["seeds"],
        "learned_from": choice.get("champion"),
        "rehearsed": record.document("train").get("rehearsed"),
    }


def _data(record: Record) -> dict[str, Any]:
    card = record.document("card")
    files = (record.identity["data"].get("source") or {}).get("files") or []
    return {
        "dataset": card.get("dataset"),
        "rows": card.get("rows"),
        "source": {str(file.get("name")): file.get("sha256") for file in files},
        **{name: table["sha256"] for name, table in record.tables.items()},
    }


def _code(record: Record) -> dict[str, Any]:
    code = record.code
    return {
        "commit": code.get("commit"),
        "uncommitted": code.get("changed") or [],
        "difference_sha256": code.get("difference_sha256"),
        **(record.identity.get("lock") or {}),
        "libraries": record.identity["libraries"],
        "platform": record.identity["platform"],
    }
