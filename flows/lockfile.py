"""dvc.lock written as DVC writes it, but faster: DVC's own writer keeps comments, which this file has none of."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import SafeRepresenter

from models.errors import InputError
from tasks.stage import replacing


class _Representer(SafeRepresenter):
    """Nothing is written for null, and no value by reference to an equal one, as in DVC's own files."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_nothing(self, _data: None) -> Any:
        return self.represent_scalar("tag:yaml.org,2002:null", "")


_Representer.add_representer(type(None), _Representer.represent_nothing)


def record(path: Path, name: str, entry: Mapping[str, Any]) -> None:
    """Set the entry of the stage `name` in the lock file at `path`; the others stay as they are. The write is atomic."""
    yaml = YAML(typ="safe")
    try:
        content = yaml.load(path) if path.exists() else None
    except YAMLError as error:
        raise InputError(f"{path} cannot be read: {error}. Take it from git, or delete it and run again.") from None
    content = content or {"schema": "2.0"}
    content.setdefault("stages", {})[name] = _plain(entry)
    with replacing(path) as temporary:
        temporary.write_text(_text(content), encoding="utf-8")


def _text(content: Mapping[str, Any]) -> str:
    yaml = YAML(typ="safe")
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
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
