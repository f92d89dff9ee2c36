"""dvc.lock, and the notes of DVC's run cache, as DVC writes them, but faster: only what changed is rendered, without comments."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import SafeRepresenter

from models.errors import InputError
from tasks.stage import replacing

EMPTY = "schema: '2.0'\nstages:\n"
LAID_OUT = re.compile(f"{re.escape(EMPTY)}(?: .*\n)*")
"""The file as DVC lays it out: the entries of the stages, indented by two, and nothing after them."""


class _Representer(SafeRepresenter):
    """Nothing is written for null, no value by reference to an equal one, and keys in their order: as in DVC's own files."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_nothing(self, _data: None) -> Any:
        return self.represent_scalar("tag:yaml.org,2002:null", "")

    def represent_in_order(self, data: dict[str, Any]) -> Any:
        return self.represent_mapping("tag:yaml.org,2002:map", list(data.items()))  # only a dict would be sorted


_Representer.add_representer(type(None), _Representer.represent_nothing)
_Representer.add_representer(dict, _Representer.represent_in_order)


def record(path: Path, name: str, entry: Mapping[str, Any]) -> None:
    """Set the entry of the stage `name` in the lock file at `path`; the others stay as they are. The write is atomic."""
    text = _laid_out(path)
    block = _text({"stages": {name: _plain(entry)}}).removeprefix("stages:\n")
    present = re.search(rf"^  {re.escape(name)}:\n(?:   .*\n)*", text, re.MULTILINE)
    begin, end = present.span() if present else (len(text), len(text))
    with replacing(path) as temporary:
        temporary.write_text(text[:begin] + block + text[end:], encoding="utf-8")


def note(path: Path, entry: Mapping[str, Any]) -> None:
    """Write what a stage made of what, as one note of the run cache. The write is atomic."""
    # DVC takes whatever lies beside it for a note.
    with replacing(path, path.parents[1]) as temporary:
        temporary.write_text(_text(_plain(entry)), encoding="utf-8")


def _laid_out(path: Path) -> str:
    """What the file says, in DVC's layout whoever wrote it."""
    if not path.exists():
        return EMPTY
    text = path.read_text(encoding="utf-8")
    if LAID_OUT.fullmatch(text):
        return text
    try:
        content = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise InputError(f"{path} cannot be read: {error}. Take it from git, or delete it and run again.") from None
    stages = (content or {}).get("stages") or {}
    return EMPTY + _text({"stages": stages}).removeprefix("stages:\n") if stages else EMPTY


def _text(content: Mapping[str, Any]) -> str:
    yaml = YAML(typ="safe")
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(content, stream)
    return stream.getvalue().replace(": \n", ":\n")  # the space before what is not written for null


def _plain(value: Any) -> Any:
    """The same value in dicts and lists alone."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
