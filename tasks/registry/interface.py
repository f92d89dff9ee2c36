"""What a registry of models does, wherever it lives: the stages and commands know this and nothing more.

Two ways lead to another kind of registry. A place that can create a numbered record exactly once implements `store.Store`
and gets all of this from `registry.StoredRegistry`. A service that has versions and aliases of its own, such as MLflow,
implements this protocol: its artifacts hold the files, a version's tags the manifest, and what it lacks (its aliases have
no compare-and-set) it has to bring along, or `promote` cannot promise what it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tasks.registry.names import CHAMPION

if TYPE_CHECKING:
    from tasks.registry.aliases import Move, Pointer
    from tasks.registry.index import Listed
    from tasks.registry.manifest import Manifest

GRACE_SECONDS = 24 * 3600.0


class Expected(Enum):
    """What a promotion may find the alias pointing at, where no version is named: what it points at when the call begins."""

    PRESENT = "present"


@dataclass(frozen=True)
class Published:
    """A version that is in the registry; `created` is False when it had been there before."""

    version: str
    digest: str
    created: bool


@dataclass(frozen=True)
class Loaded:
    """A version whose every file has been verified.

    Read it from `directory`, which stays as long as this object or its registry does; `where` is the version's address.
    """

    name: str
    version: str
    directory: Path
    manifest: Manifest
    where: str
    holds: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Collected:
    """What `collect` removed, or would: things, their bytes, and how many that it looked at were in use and kept."""

    removed: int = 0
    bytes: int = 0
    kept: int = 0


class Registry(Protocol):
    """Versions and aliases of models.

    Methods raise InputError for names that are not there, CorruptError for anything that is not what was written.
    """

    @property
    def url(self) -> str:
        """Where it is."""

    def probe(self) -> None:
        """Raise the error that registering would meet if the place cannot be written."""

    def names(self) -> list[str]:
        """The models that have a version."""

    def versions(self, name: str) -> list[str]:
        """The versions of a model, oldest first; empty when there is no such model."""

    def latest(self, name: str) -> str | None:
        """The newest version of a model."""

    def listing(self, name: str) -> list[Listed]:
        """Every version with what listings show of it, oldest first; its files have not been verified."""

    def manifest(self, name: str, version: str) -> Manifest:
        """What a version is made of; its files have not been verified."""

    def version_of_run(self, name: str, run: str) -> Published | None:
        """The version that was published for this run, if there is one."""

    def publish(self, name: str, files: Mapping[str, Path | bytes], run: str, summary: Mapping[str, Any]) -> Published:
        """Make a version of these files (path in the version -> where to take it from); the same run makes the same version.

        It appears whole or not at all. `summary` is shown in listings.
        """

    def load(self, name: str, which: str = CHAMPION) -> Loaded:
        """A version, by its id or by an alias, with every file verified; what differs from the manifest is never loaded."""

    def aliases(self, name: str) -> dict[str, str]:
        """Where each alias of a model points: alias -> version."""

    def resolve(self, name: str, which: str) -> Pointer:
        """The version, with its digest, that a version id or an alias stands for."""

    def promote(
        self,
        name: str,
        version: str,
        alias: str = CHAMPION,
        expected: str | Expected | None = Expected.PRESENT,
        why: str = "",
    ) -> Move | None:
        """Point an alias at a version, if it still points at `expected` (None: at nothing yet); None when it did already.

        Of promotions that overlap exactly one is made, and the others raise AliasMovedError.
        """

    def rollback(self, name: str, why: str = "", expected: str | Expected = Expected.PRESENT) -> Move:
        """Bring back the champion before the present one; a second rollback goes one further back.

        If the champion is not the `expected` version any more, nothing is moved, and AliasMovedError is raised.
        """

    def history(self, name: str) -> list[Move]:
        """Every move of every alias of a model, oldest first."""

    def collect(self, grace: float = GRACE_SECONDS, dry: bool = False) -> Collected:
        """Remove what never became a version and nobody can still publish, and nothing else."""
