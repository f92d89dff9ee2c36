"""Turns what pydantic finds wrong with params.yaml into sentences: the key, what was wrong, and what to do."""

from __future__ import annotations

import types
import typing
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from models.errors import nearest

EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
Path = tuple[str | int, ...]

MOVED: Mapping[Path, Path] = {
    ("search", "trials"): ("search", "budget", "trials"),
    ("search", "minutes"): ("search", "budget", "minutes"),
}
"""Keys of older files, and where their values stand now."""


def describe(error: ValidationError, raw: Mapping[str, Any], model: type[BaseModel], where: str) -> str:
    """Every problem on a line of its own, `where: key: what was wrong. What to do.`, in the order of the file."""
    found: dict[Path, list[Any]] = defaultdict(list)
    for item in error.errors():
        found[_path(item, raw)].append(item)
    lines: list[str] = []
    for path, items in found.items():
        # A union reports one problem per branch. Where one branch got further into the value, it is the one meant.
        if any(len(other) > len(path) and other[: len(path)] == path for other in found):
            continue
        lines += [f"{where}: {line}" for line in _sentences(path, items, model)]
    return "\n".join(dict.fromkeys(lines))


def _path(item: Any, raw: Mapping[str, Any]) -> Path:
    """The keys that lead to the problem, without the names of union branches that pydantic puts between them."""
    node: Any = raw
    path: list[str | int] = []
    for position, part in enumerate(item["loc"]):
        last = position == len(item["loc"]) - 1
        in_list = (
            isinstance(part, int) and isinstance(node, Sequence) and not isinstance(node, str) and part < len(node)
        )
        if in_list or (isinstance(node, Mapping) and part in node):
            node = node[part]
        elif not (last and item["type"] == "missing"):
            continue
        path.append(part)
    return tuple(path)


def shown(path: Path) -> str:
    """`search.recipes[2].loss`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _sentences(path: Path, items: list[Any], model: type[BaseModel]) -> list[str]:
    """What to say of the problems at one place."""
    key = shown(path)
    first = items[0]
    field, owner = _field(path, model)
    if path in MOVED:
        return [f"{key}: {_moved(path, MOVED[path], first['input'])}"]
    if first["type"] == "extra_forbidden":
        return [f"{key}: no such key. {_belongs(str(path[-1]), path, owner, model)}"]
    if first["type"] == "missing":
        return [f"{key}: missing. Add it{_meaning(field)}."]
    if first["type"] == "value_error":
        return [_value_error(key, line) for line in str(first["msg"]).removeprefix("Value error, ").split("\n")]
    given = first["input"]
    choices = [c for item in items if item["type"] == "literal_error" for c in _choices(item)]
    kinds = [EXPECTED[item["type"]] for item in items if item["type"] in EXPECTED]
    if choices and isinstance(given, str) and not kinds:
        return [f"{key}: {given!r} is not valid. {nearest(given, choices)}"]
    if choices or kinds:
        expected = " or ".join(dict.fromkeys([*(f"'{c}'" for c in choices[:6]), *kinds]))
        return [f"{key}: found {_found(given)}. Give {expected}{_meaning(field)}."]
    if first["type"] == "string_pattern_mismatch":
        return [f"{key}: {given!r} has not the right form ({first['ctx']['pattern']}). Correct it{_meaning(field)}."]
    message = str(first["msg"]).removeprefix("Input ").removeprefix("Tuple ")
    return [f"{key}: {message}; found {_found(given)}. Correct it{_meaning(field)}."]


def _value_error(key: str, line: str) -> str:
    """A message of a validator: one of a section stands under its key, one of the whole brings its own."""
    return f"{key}: {line}." if key else f"{line}."


def _moved(path: Path, place: Path, value: Any) -> str:
    """What to write in the place of a key that has moved."""
    section, kept = shown(place[:-1]), "null" if value is None else value
    instead = f"{section}: {{{place[-1]}: {kept}}}, or --set {shown(place)}={kept}"
    unset = f"Remove it, and name the one limit of the search in {section}"
    return f"it stands in {section} now. " + (f"{unset}." if value is None else f"Write {instead}.")


def _belongs(name: str, path: Path, owner: type[BaseModel] | None, model: type[BaseModel]) -> str:
    """Where an unknown key may have been meant to stand."""
    known = list(owner.model_fields) if owner else []
    places = {path.rpartition(".")[2]: path for path in (_keys(owner) if owner else ())} | {key: key for key in known}
    found = [places[key] for key in get_close_matches(name, places, n=1, cutoff=0.5)]
    found += [path for path in _keys(model) if path.endswith(f".{name}")]
    return f"Did you mean '{found[0]}'?" if found else nearest(name, known)


def _keys(model: type[BaseModel]) -> Iterator[str]:
    """The path of every key that stands below another, the higher ones first."""
    inner = {name: found for name, field in model.model_fields.items() if (found := _model_of(field.annotation))}
    yield from (f"{name}.{key}" for name, found in inner.items() for key in found.model_fields)
    yield from (f"{name}.{path}" for name, found in inner.items() for path in _keys(found))


def _choices(item: Any) -> list[str]:
    return [c.strip("'") for c in str(item["ctx"]["expected"]).replace(" or ", ", ").split(", ")]


def _found(value: Any) -> str:
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"{str(value).lower()} (true or false)"
    if isinstance(value, str):
        return f"{value!r} (a text)"
    if isinstance(value, (int, float)):
        return f"{value!r} (a number)"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence):
        return f"a list of {len(value)}"
    return repr(value)


def _meaning(field: FieldInfo | None) -> str:
    """What a key is for, from its own description."""
    return f" ({field.description.rstrip('.')})" if field is not None and field.description else ""


def _field(path: Path, model: type[BaseModel]) -> tuple[FieldInfo | None, type[BaseModel] | None]:
    """The field that a path ends in, and the model that its last key should belong to."""
    owner: type[BaseModel] | None = model
    field: FieldInfo | None = None
    for position, part in enumerate(path):
        if isinstance(part, int) or owner is None:
            continue
        field = owner.model_fields.get(part)
        if position < len(path) - 1:
            owner = _model_of(field.annotation) if field is not None else None
    return field, owner


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The first model that an annotation holds, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, tuple, Annotated):
        for argument in typing.get_args(annotation):
            found = _model_of(argument)
            if found is not None:
                return found
    return None
