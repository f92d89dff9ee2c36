"""A registry in a folder: file://PATH. Trees appear by renaming a finished directory, records by linking a finished file."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from models.errors import EquipoiseError, InputError
from tasks.registry.manifest import MANIFEST, FileEntry, Manifest
from tasks.registry.names import version_id, version_number
from tasks.registry.private import Private, remove_abandoned
from tasks.registry.sources import copied
from tasks.registry.store import VERSIONS, Fetched, Leftover, Series

STAGING = ".staging"

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_FOLDER = (errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY)


class FileStore:
    """See Store. Works between threads, processes and, where the file system has locks and links, machines.

    Versions are `<name>/versions/v<n>/`, other records `<name>/<kind>/<n>.json`; what is unfinished is in `.staging/`.
    """

    def __init__(self, root: Path, url: str) -> None:
        self.root = root
        self.url = url

    def names(self) -> list[str]:
        return self._children(self.root)

    def last(self, series: Series) -> int:
        number_of = version_number if series.kind == VERSIONS else _record_number
        found = (number_of(child) for child in self._children(self.root / series.name / series.kind))
        return max((number for number in found if number is not None), default=0)

    def read(self, series: Series, number: int) -> bytes | None:
        with self._explained("read"):
            try:
                return (self.root / _key(series, number)).read_bytes()
            except FileNotFoundError:
                return None

    def create(self, series: Series, number: int, content: bytes) -> bool:
        target = self.root / _key(series, number)
        with self._staging() as staged, self._explained("write to"):
            finished = staged / "record"
            finished.write_bytes(content)
            _sync(finished)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(finished, target)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno in _NO_LINKS and os.access(target.parent, os.W_OK):
                    raise InputError(
                        f"registry {self.url}: the file system of {self.root} has no hard links, which aliases need. Set "
                        "registry.url to a place on another file system."
                    ) from error
                raise
            _sync(target.parent)
            return True

    def where(self, series: Series, number: int) -> str:
        return f"{self.url}/{_key(series, number)}"

    @contextlib.contextmanager
    def writer(self, name: str, run: str) -> Iterator[_Writer]:
        with self._staging() as staged:
            yield _Writer(self, name, staged)

    def fetch(self, manifest: Manifest, where: str) -> Fetched:
        top = (self.root / _key(Series(manifest.name, VERSIONS), version_number(manifest.version) or 0)).parent
        with self._explained("read"):
            present = tuple(
                Path(folder, name).relative_to(top).as_posix()
                for folder, directories, names in os.walk(top)
                for name in (*names, *(d for d in directories if Path(folder, d).is_symlink()))
            )
        return Fetched(top, present)

    def probe(self) -> None:
        with self._staging():
            pass

    def tidy(self) -> int:
        with self._explained("clean up"):
            return remove_abandoned(self.root / STAGING)

    def leftovers(self, name: str, grace: float) -> list[Leftover]:
        return []  # staging holds whatever has not become a version, and locks tell which of it is alive

    def remove(self, garbage: Iterable[Leftover]) -> None:
        pass

    def _children(self, folder: Path) -> list[str]:
        with self._explained("read"):
            try:
                return [name for name in os.listdir(folder) if not name.startswith(".")]
            except FileNotFoundError:
                return []

    @contextlib.contextmanager
    def _staging(self) -> Iterator[Path]:
        """A private directory on the registry's own file system, from which things can be renamed and linked."""
        with self._explained("write to"):
            private = Private(self.root / STAGING)
        try:
            yield private.directory
        except OSError as error:
            raise self.explain("write to", error) from error
        finally:
            private.end()

    @contextlib.contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self.explain(doing, error) from error

    def explain(self, doing: str, error: OSError) -> EquipoiseError:
        """What the file system said, with what to do."""
        where = f"registry {self.url} ({self.root})"
        if error.errno in _NO_SPACE:
            return EquipoiseError(
                f"{where}: no space left ({error.strerror}). Nothing was registered. Free some space there, or set "
                "registry.url to another place, and run again."
            )
        if error.errno in _NO_ACCESS:
            return InputError(
                f"{where}: cannot {doing} {error.filename or self.root} ({error.strerror}). Give yourself the right to, or "
                "set registry.url to another place."
            )
        if error.errno in _NO_FOLDER:
            return InputError(
                f"{where}: {error.filename or self.root} is not a folder that can be used ({error.strerror}). Set registry.url "
                "to a folder."
            )
        return EquipoiseError(f"{where}: cannot {doing} {error.filename or self.root}: {error.strerror or error}.")


class _Writer:
    """A version in the staging directory; publishing renames it to where it belongs."""

    stored = ""

    def __init__(self, store: FileStore, name: str, staged: Path) -> None:
        self._store = store
        self._series = Series(name, VERSIONS)
        self._staged = staged

    def add(self, path: str, source: Path | bytes) -> FileEntry:
        return copied(source, self._staged / path, path)

    def publish(self, number: int, manifest: bytes) -> bool:
        target = (self._store.root / _key(self._series, number)).parent
        (self._staged / MANIFEST).unlink(missing_ok=True)
        (self._staged / MANIFEST).write_bytes(manifest)
        for path in sorted(self._staged.rglob("*"), reverse=True):
            if path.is_file():
                path.chmod(0o444)
            _sync(path)
        _sync(self._staged)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(self._staged, target)  # a directory that holds something is never replaced
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            raise
        _sync(target.parent)
        return True


def _key(series: Series, number: int) -> str:
    if series.kind == VERSIONS:
        return f"{series.name}/{VERSIONS}/{version_id(number)}/{MANIFEST}"
    return f"{series.name}/{series.kind}/{number:08d}.json"


def _record_number(child: str) -> int | None:
    return int(child[:8]) if len(child) == 13 and child.endswith(".json") and child[:8].isdigit() else None


def _sync(path: Path) -> None:
    """Force a file or a directory's entries to the disk, so that what is visible survives a power cut."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
