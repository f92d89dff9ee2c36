"""The page of the parameters, from what params.yaml is parsed into: `python -m flows.params_page > docs/params.md`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from models.metrics.names import EVERY, TABLE
from tasks.overrides import FILE
from tasks.params import CHECKS, read_yaml, schema
from tasks.reporting.words import MEANINGS

LONG = 44
"""Characters of a value that a table has room for."""
BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
PLAIN = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
INTRODUCTION = """# Parameters

Written by `python -m flows.params_page > docs/params.md` from the code that reads them; do not edit it.

`params.yaml` holds all of them. `equipoise run --params FILE` takes a file with those that differ, and `--set
search.budget.trials=8` a single one; `equipoise params check`, with the same options, says whether they are valid, recipes
included, and what they change. *Value* is that of `params.yaml`; of a key that is not there, its default."""
OF_CHECKS = (
    "What `checks` can look for. Each has a `severity`, and may be narrowed to some `columns` or sensitive attributes."
)
OF_METRICS = """What `search.maximize`, `search.minimize`, `search.subject_to`, `gates.rules` and `monitor.metric` can name, for the
kinds of target that have it. Values are fractions in [0, 1] unless it is said otherwise. A figure over *groups* compares those of
one sensitive attribute, and one over *classes* needs rows of every class, label or bin."""


def page(values: Mapping[str, Any]) -> str:
    """The page as Markdown; `values` are those of params.yaml."""
    whole = schema()
    definitions = whole["$defs"]
    lines = [INTRODUCTION]
    for key, found in whole["properties"].items():
        section = definitions.get(_name(found))
        if section is not None:
            lines += _section(f"`{key}`", section, values.get(key) or {}, 2)
        else:
            takes = _takes(found)
            lines += [
                "",
                f"## `{key}`",
                "",
                f"{found['description']} {takes[0].upper()}{takes[1:]}: {_value(values[key])}.",
            ]
        for place, inner in _inner(section or {"properties": {key: found}}, f"{key}." if section else ""):
            lines += _section(place, definitions[inner], {}, 3)
    lines += ["", "## Checks", "", OF_CHECKS, "", "| check | finds | limit |", "|---|---|---|"]
    for name, limit in CHECKS.items():
        lines.append(f"| `{name}` | {limit.says} | {f'`{limit.key}`: {limit.of}' if limit.key else 'none'} |")
    lines += [
        "",
        "## Metrics",
        "",
        OF_METRICS,
        "",
        "| metric | better | over | kinds of target | what it says |",
        "|---|---|---|---|---|",
    ]
    for metric in TABLE:
        kinds = ", ".join(sorted(metric.tasks))
        lines.append(f"| `{metric.name}` | {metric.better} | {metric.over} | {kinds} | {MEANINGS[metric.name]} |")
    return "\n".join(lines) + "\n"


def _section(name: str, definition: Mapping[str, Any], values: Mapping[str, Any], level: int) -> list[str]:
    """A heading and a table of keys."""
    said = definition.get("description", "").split("\n")[0]
    lines = ["", f"{'#' * level} {name}", "", said, "", "| key | takes | value | meaning |", "|---|---|---|---|"]
    needed = definition.get("required", ())
    for key, found in definition["properties"].items():
        value = _value(
            values[key] if key in values else found.get("default", {} if found.get("type") == "object" else None)
        )
        shown = "must be given" if key in needed and key not in values else value
        lines.append(f"| `{key}` | {_takes(found)} | {shown} | {_cell(found.get('description', ''))} |")
    return lines


def _inner(definition: Mapping[str, Any], before: str) -> Iterator[tuple[str, str]]:
    """What stands below the keys of a section: how it is called here, and the name of its definition."""
    for key, found in definition["properties"].items():
        for option in (found, *found.get("anyOf", ())):
            if _name(option):
                yield f"`{before}{key}`", _name(option)
            for entry in (option.get("items") or {}, *(option.get("items") or {}).get("anyOf", ())):
                if _name(entry):
                    yield f"An entry of `{before}{key}`", _name(entry)


def _name(found: Mapping[str, Any]) -> str:
    return str(found.get("$ref", "")).rpartition("/")[2]


def _takes(found: Mapping[str, Any]) -> str:
    """What a key takes, in words."""
    if "anyOf" in found:
        options = [option for option in found["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(_takes(option) for option in options))
    if "enum" in found:
        if set(found["enum"]) <= {"auto", *EVERY}:
            return "a [metric](#metrics)" + (" or `auto`" if "auto" in found["enum"] else "")
        if set(found["enum"]) <= set(CHECKS):
            return "a [check](#checks)"
        return ", ".join(f"`{value}`" for value in found["enum"])
    if "const" in found:
        return f"`{found['const']}`"
    if _name(found) or found.get("type") == "object":
        return "a mapping"
    if found.get("type") == "array":
        return f"a list ({_takes(found['items'])})"
    limits = " and ".join(f"{word} {found[key]:g}" for key, word in BOUNDS.items() if key in found)
    return f"{PLAIN[found['type']]}{' ' if limits else ''}{limits}"


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return f"`{_cell(text)}`" if len(text) <= LONG else "see params.yaml"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(page(read_yaml(Path.cwd() / FILE)), end="")
