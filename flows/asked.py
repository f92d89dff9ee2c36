"""What a run can be asked for: all of params.yaml as one typed parameter of a flow, for Prefect's form of a run and its checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import WithJsonSchema

from tasks.overrides import Settings
from tasks.params import schema

NULL = {"type": "null"}
SAYS = "What is to differ from params.yaml, for this run alone. What is left empty is as params.yaml says."
NOTHING: dict[str, Any] = {}
"""A default that a form can begin with; it takes null for a value that somebody has set."""


def form() -> dict[str, Any]:
    """The JSON Schema of params.yaml, whole, of which everything may be left out.

    No key has a default: what is not given stays as params.yaml says, which the server of a deployment cannot know.
    """
    complete = schema()
    made = _open(complete, complete["$defs"])
    return {key: made[key] for key in ("type", "properties", "additionalProperties")} | {"description": SAYS}


def _open(node: Mapping[str, Any], definitions: Mapping[str, Any], entry: bool = False) -> dict[str, Any]:
    """A schema without references, defaults and null; only an `entry` of a list needs the keys that it cannot do without."""
    if "$ref" in node:
        node = {**definitions[node["$ref"].rpartition("/")[2]], **{k: v for k, v in node.items() if k != "$ref"}}
    options = [option for option in node.get("anyOf", ()) if option != NULL]
    if len(options) == 1:
        return _open({**{k: v for k, v in node.items() if k != "anyOf"}, **options[0]}, definitions, entry)
    made = {key: value for key, value in node.items() if key not in ("default", "title", "required")}
    # As a choice, which can be left open: of a switch that nobody has touched the form sends `false`, a constant it fills in.
    if made.get("type") == "boolean":
        made = {key: value for key, value in made.items() if key != "type"} | {"enum": [True, False]}
    if "const" in made:
        made["enum"] = [made.pop("const")]
    if options:
        made["anyOf"] = [_open(option, definitions, entry) for option in options]
    if "items" in node:
        made["items"] = _open(node["items"], definitions, entry=True)
    if "properties" in node:
        # A form calls a key by its title, and is in the order of `position`: as in params.yaml.
        made["properties"] = {
            key: {"title": key, "position": position, **_open(found, definitions, entry)}
            for position, (key, found) in enumerate(node["properties"].items())
        }
        if entry and "required" in node:
            made["required"] = node["required"]
    return made


FORM = form()
# Prefect's server checks it; what it comes to, together with params.yaml, is checked where that is parsed, in words for people.
Asked = Annotated[dict[str, Any], WithJsonSchema(FORM)]
"""Some sections of params.yaml, each with some of its keys."""


def settings_of(params: Mapping[str, Any]) -> Settings:
    """`params` as pairs of key and value. The value of a key is taken whole, as in a file for `--params`."""
    pairs: list[tuple[str, Any]] = []
    for section, given in params.items():
        if isinstance(given, Mapping):
            pairs += [(f"{section}.{key}", value) for key, value in given.items() if not _emptied(section, key, value)]
        else:
            pairs.append((section, given))
    return tuple(pairs)


def _emptied(section: str, key: str, value: Any) -> bool:
    """Whether it is what a form sends of a section within a section (the budget of a search) whose fields are empty again."""
    known = FORM["properties"].get(section, {}).get("properties", {}).get(key, {})
    return value == {} and "properties" in known
