"""What a place must be able to do so that a registry can live there: create-only numbered records, and the files of versions.

Nothing is ever changed or overwritten: every write either creates its record or reports that someone else has. That is all
the atomicity that the registry needs, and what a file system (link, rename) and an object store (conditional writes) both
have. Checksums, signatures, aliases and history live above, in registry.py, and are the same for every store.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tasks.registry.manifest import FileEntry, Manifest


@dataclass(frozen=True)
class Series:
    """A model's records of one kind, numbered from 1 without gaps; the manifests of its versions are one."""

    name: str
    kind: str


VERSIONS = "versions"
ALIASES = "aliases"


@dataclass(frozen=True)
class Fetched:
    """A version's files in a local directory, not verified yet, and every file that the store holds of it."""

    directory: Path
    present: tuple[str, ...]


@dataclass(frozen=True)
class Leftover:
    """A file that was brought in for a version and that no living writer may publish any more: in use, or garbage.

    `address` is the store's own.
    """

    stored: str
    sha256: str
    bytes: int
    address: tuple[str, ...]


class Writer(Protocol):
    """One version on its way into the store; nothing of it can be seen before `publish` says True."""

    @property
    def stored(self) -> str:
        """Where the store keeps the files, if not beside the manifest; the manifest repeats it."""

    def add(self, path: str, source: Path | bytes) -> FileEntry:
        """Bring a file in; what it is, is computed from what was written."""

    def publish(self, number: int, manifest: bytes) -> bool:
        """Make the files and their manifest appear as version `number`, all at once and durable; False when it is taken.

        May be called again with another number after False.
        """


class Store(Protocol):
    """One place of one kind. Errors of the place are InputError or EquipoiseError, with what to do."""

    url: str

    def names(self) -> list[str]:
        """Models that have, or are about to have, a version; unordered."""

    def last(self, series: Series) -> int:
        """The highest number of a series; 0 when it has none. What is half-done does not count."""

    def read(self, series: Series, number: int) -> bytes | None:
        """A record's content; None when there is none."""

    def create(self, series: Series, number: int, content: bytes) -> bool:
        """Make a record, whole and durable; False when the number is taken."""

    def where(self, series: Series, number: int) -> str:
        """The address of a record, for messages."""

    def writer(self, name: str, run: str) -> AbstractContextManager[Writer]:
        """Begin a version; afterwards nothing is left of it on this machine. The same `run` may go on where one was killed."""

    def fetch(self, manifest: Manifest, where: str) -> Fetched:
        """The version's files on this machine, for as long as the store object lives. Nothing is verified but sizes."""

    def probe(self) -> None:
        """Raise the error that a publisher would meet if the place cannot be written."""

    def tidy(self) -> int:
        """Remove what killed processes of this machine left behind; cheap. The number of things removed."""

    def leftovers(self, name: str, grace: float) -> list[Leftover]:
        """A model's files that nobody may publish any more since at least `grace` seconds, those in use included.

        Whatever uses one of them was published before this call, so that a manifest read after it is not too late.
        """

    def remove(self, garbage: Iterable[Leftover]) -> None:
        """Remove files that no version uses."""
