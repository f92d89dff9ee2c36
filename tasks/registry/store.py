"""What a place must be able to do so that a registry can live there: create-only records, and whole trees of files.

A key is a path with '/' below the registry's root. Nothing is ever changed or overwritten: every write either creates
its key or reports that someone else has. That is all the atomicity that the registry needs, and what a file system
(link, rename) and an object store (conditional writes) both have. Checksums, aliases and history live above, in
registry.py, and are the same for every store.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

MANIFEST = "manifest.json"
"""The record that makes a tree exist: a tree without it is not there."""


class Store(Protocol):
    """One place of one kind. Errors of the place are InputError or EquipoiseError, with what to do."""

    url: str

    def children(self, key: str) -> list[str]:
        """Names one level below `key`, unordered, without what is half-done; empty when there is no such key."""

    def read(self, key: str) -> bytes | None:
        """A record's content; None when there is none."""

    def create(self, key: str, content: bytes) -> bool:
        """Make a record, whole and durable; False when the key is taken, whatever its content."""

    def staging(self) -> AbstractContextManager[Path]:
        """A private local directory for a tree that is to be published; afterwards it is gone."""

    def publish(self, key: str, staged: Path, manifest: bytes) -> bool:
        """Make the staged files and their manifest appear at `key`, all at once and durable; False when it is taken.

        May be called again with another key after False; after True `staged` is used up.
        """

    def files(self, key: str) -> list[str]:
        """Every file that is really there under a published tree, as paths relative to it, the manifest included."""

    def fetch(self, key: str, files: Iterable[str]) -> Path:
        """A local directory that holds these files of a published tree. What it holds is not verified yet."""

    def probe(self) -> None:
        """Raise the error that a publisher would meet if the place cannot be written."""

    def collect(self) -> int:
        """Remove what killed writers left behind, and nothing that a living one uses; the number of things removed."""
