"""params.yaml for one run: what `--set` and `--params` change, written for as long as that run is the last one.

DVC compares params.yaml itself with what a stage was run with. So an override is written into the file, and the file
as it was is kept aside: the next run starts from that again, unless somebody has edited the file in between.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import InputError, nearest
from tasks.identity import redacted
from tasks.params import OF_A_MODEL, SECTIONS, Params, parse_params, parse_yaml, read_text
from tasks.stage import read_json, replacing, write_json

FILE = Path("params.yaml")
STATE = Path(".equipoise") / "params.json"
SOURCE_KEYS = ("name", "path")
Settings = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Effective:
    """What a run works with: the typed params, the text of the file, the text of its base, and what differs, in words."""

    params: Params
    text: str
    base: str
    changes: tuple[str, ...]


def parse_settings(settings: Iterable[str]) -> Settings:
    """`a.b.c=value` as pairs; values are YAML, so `[a, b]`, `null` and `0.5` mean what they look like."""
    pairs: list[tuple[str, Any]] = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {setting}: write it as section.key=value.")
        value = parse_yaml(f"value: {text}", f"--set {setting}")["value"]
        pairs.append((key.strip(), value))
    return tuple(pairs)


def effective(root: Path, settings: Settings = (), params_file: Path | None = None) -> Effective:
    """The params of a run; nothing is written. Every problem of the file and of the overrides is an InputError."""
    base = _base(root)
    where = str(FILE)
    raw = parse_yaml(base, where)
    document = _load(base)
    given = parse_yaml(read_text(params_file), str(params_file)) if params_file is not None else {}
    if params_file is not None or settings:
        where = f"{FILE} with what --set and --params change"
        unknown = [section for section in given if section not in SECTIONS]
        if unknown:
            raise InputError(f"{params_file}: {unknown[0]}: no such section. {nearest(str(unknown[0]), SECTIONS)}")
        _change_source(document, given, settings)
        _merge(document, given)
        for key, value in settings:
            _assign(document, key, value)
    params = parse_params(_plain(document), where)
    # DVC tracks what a model is made of, and needs it in the file.
    missing = [section for section in OF_A_MODEL if section not in document]
    defaults = params.model_dump(mode="json")
    for section in missing:
        document[section] = defaults[section]
    # YAML takes 2025-01-31 for a date, which DVC refuses to read; quoted, it is the text that the typed params hold.
    dated = _with_dates_as_text(document)
    changes = tuple(_differences(raw, {k: v for k, v in _plain(document).items() if k not in missing or k in given}))
    text = _dump(document) if changes or missing or dated else base
    return Effective(params, text, base, changes)


def write(root: Path, chosen: Effective) -> None:
    """Make params.yaml say what the run works with, and remember what it said before."""
    path, state = root / FILE, root / STATE
    present = path.read_text(encoding="utf-8")
    if chosen.text == chosen.base:
        if present != chosen.text:
            _replace(path, chosen.text)
        state.unlink(missing_ok=True)
        return
    # Both sums count until the file is replaced: a run killed in between must not take its predecessor's override
    # for the user's own text.
    known = [_sum(chosen.text), *([_sum(present)] if present != chosen.base else [])]
    write_json(state, {"written": known, "base": chosen.base})
    if present != chosen.text:
        _replace(path, chosen.text)


def _base(root: Path) -> str:
    """params.yaml as its owner wrote it."""
    present = read_text(root / FILE)
    state = root / STATE
    if state.exists():
        kept = read_json(state)
        if _sum(present) in kept["written"]:
            return str(kept["base"])
    return present


def _replace(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _change_source(document: Any, given: Mapping[str, Any], settings: Settings) -> None:
    """Another source of data brings its own target, groups and columns: those of the base belong to the old one.

    A file in the place of a file is taken for the same table: what does not fit it is named when it is read.
    """
    asked = dict(given.get("data") or {}) if isinstance(given.get("data"), Mapping) else {}
    asked.update({key.removeprefix("data."): value for key, value in settings if key.startswith("data.")})
    present = document.get("data") or {}
    if all(key not in asked or asked[key] == present.get(key) for key in SOURCE_KEYS):
        return
    if present.get("path") is not None and asked.get("path") is not None:
        return  # later rows of the same table, as they come in files
    _put(document, "data", {"name": None} if asked.get("path") is not None else {})
    _put(document, "target", {})
    _put(document, "sensitive", "auto")


def _merge(document: Any, given: Mapping[str, Any]) -> None:
    """Keys of a --params file replace those of the base; sections and keys that it does not name stay."""
    for section, value in given.items():
        if isinstance(value, Mapping) and isinstance(document.get(section), Mapping):
            document[section].update(value)
        else:
            _put(document, section, value)


def _put(document: Any, section: str, value: Any) -> None:
    """Replace a whole section, and with it the comments that explained its old values."""
    document[section] = value
    document.ca.items.pop(section, None)


def _assign(document: Any, key: str, value: Any) -> None:
    parts = re.sub(r"\[(\d+)\]", r".\1", key).split(".")
    if parts[0] not in SECTIONS:
        raise InputError(f"--set {key}: no section '{parts[0]}'. {nearest(parts[0], SECTIONS)}")
    node = document
    for part in parts[:-1]:
        if isinstance(node, list):
            node = node[_index(part, node, key)]
            continue
        if not isinstance(node.get(part), (dict, list)):
            node[part] = {}
        node = node[part]
    last = parts[-1]
    if isinstance(node, list):
        node[_index(last, node, key)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise InputError(f"--set {key}: there is nothing to set in {node!r}. Set the whole key.")


def _with_dates_as_text(node: Any) -> bool:
    """Replace every date in a document by its text, in place; whether there was one."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    places = list(node.items() if isinstance(node, dict) else enumerate(node))
    found = False
    for key, value in places:
        if isinstance(value, datetime.date):
            node[key], found = DoubleQuotedScalarString(value.isoformat()), True
        elif isinstance(value, (dict, list)):
            found |= _with_dates_as_text(value)
    return found


def _index(part: str, node: list[Any], key: str) -> int:
    if not part.isdigit() or int(part) >= len(node):
        raise InputError(f"--set {key}: '{part}' is no position in a list of {len(node)}. Give 0 to {len(node) - 1}.")
    return int(part)


def _differences(before: Any, after: Any, key: str = "") -> Iterator[str]:
    """What changed, one line per key."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in [*before, *(n for n in after if n not in before)]:
            path = f"{key}.{name}" if key else str(name)
            yield from _differences(before.get(name), after.get(name), path)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for position, pair in enumerate(zip(before, after, strict=True)):
            yield from _differences(*pair, f"{key}[{position}]")
    elif before != after:
        yield f"{key}: {_brief(before)} -> {_brief(after)}"


def _brief(value: Any) -> str:
    """For people and logs: without the credentials of addresses."""
    text = "null" if value is None else str(redacted(value))
    return text if len(text) <= 80 else text[:77] + "..."


def _plain(value: Any) -> Any:
    """The same value without ruamel's classes."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, bool) or value is None:
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _yaml() -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import RoundTripRepresenter

    class Representer(RoundTripRepresenter):
        """Writes null as `null`: ruamel leaves it out, which reads as if somebody had forgotten a value.

        A class of its own, because representers are registered with their class, and DVC writes dvc.lock with the other.
        """

    Representer.add_representer(type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml = YAML(typ="rt", pure=True)
    yaml.Representer = Representer
    yaml.preserve_quotes = True
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _load(text: str) -> Any:
    return _yaml().load(text)


def _dump(document: Any) -> str:
    buffer = io.StringIO()
    _yaml().dump(document, buffer)
    return buffer.getvalue()
