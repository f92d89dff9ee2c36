"""What a version says of itself: the documents in it, read from verified files."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import InputError
from tasks.registry import Loaded, Registry, parse_reference
from tasks.stage import read_json

CHANGES = "changes.json"


@dataclass(frozen=True)
class Record:
    """A version's documents; each is an empty mapping where the version has none."""

    loaded: Loaded
    aliases: tuple[str, ...]

    @property
    def reference(self) -> str:
        """NAME@v3."""
        return f"{self.loaded.name}@{self.loaded.version}"

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return self.loaded.directory

    def document(self, name: str) -> dict[str, Any]:
        """One of its JSON files, without the suffix."""
        path = self.directory / f"{name}.json"
        content: dict[str, Any] = read_json(path) if path.is_file() else {}
        return content

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """Code, data, seeds, libraries and platform. A version without it is an InputError."""
        found = self.document("identity")
        if not found:
            raise InputError(f"{self.reference} does not say what it was made from (it has no identity.json).")
        return found

    @property
    def code(self) -> Mapping[str, Any]:
        """The commit, and what differed from it."""
        code: Mapping[str, Any] = self.identity["code"]
        return code

    @property
    def tables(self) -> Mapping[str, Mapping[str, Any]]:
        """Sums of the tables that it was made from."""
        tables: Mapping[str, Mapping[str, Any]] = self.identity["data"]["tables"]
        return tables

    @property
    def outputs(self) -> Mapping[str, str]:
        """The names under which DVC keeps what the stages wrote: path -> MD5."""
        outputs: Mapping[str, str] = self.identity["data"].get("outputs") or {}
        return outputs


def read_record(registry: Registry, reference: str) -> Record:
    """The verified version that NAME@v3 or NAME@alias stands for."""
    name, which = parse_reference(reference)
    loaded = registry.load(name, which)
    aliases = tuple(sorted(a for a, version in registry.aliases(name).items() if version == loaded.version))
    return Record(loaded, aliases)
