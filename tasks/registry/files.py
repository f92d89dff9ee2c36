"""A registry in a folder: file://PATH. Trees appear by renaming a finished directory, records by linking a finished file."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from models.errors import EquipoiseError, InputError
from tasks.registry.store import MANIFEST

STAGING = ".staging"
LOCK = ".lock"

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_FOLDER = (errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY)


class FileStore:
    """See Store. Works between threads, processes and, where the file system has locks and links, machines.

    A writer works in `.staging/<id>/` while it holds a lock on `.staging/<id>.lock`. The lock dies with its process, so
    a directory whose lock can be taken was left by a writer that was killed, and may be removed.
    """

    def __init__(self, root: Path, url: str) -> None:
        self.root = root
        self.url = url

    def children(self, key: str) -> list[str]:
        with self._explained("read"):
            try:
                return [name for name in os.listdir(self.root / key) if not name.startswith(".")]
            except FileNotFoundError:
                return []

    def read(self, key: str) -> bytes | None:
        with self._explained("read"):
            try:
                return (self.root / key).read_bytes()
            except FileNotFoundError:
                return None

    def create(self, key: str, content: bytes) -> bool:
        target = self.root / key
        with self.staging() as staged, self._explained("write to"):
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

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        area = self.root / STAGING
        with self._explained("write to"):
            area.mkdir(parents=True, exist_ok=True)
            directory = area / uuid.uuid4().hex
            lock = _claim(directory.with_suffix(LOCK))
        try:
            with self._explained("write to"):
                directory.mkdir()
            yield directory
        except OSError as error:
            raise self._explain("write to", error) from error
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            directory.with_suffix(LOCK).unlink(missing_ok=True)
            os.close(lock)

    def publish(self, key: str, staged: Path, manifest: bytes) -> bool:
        target = self.root / key
        with self._explained("write to"):
            (staged / MANIFEST).unlink(missing_ok=True)
            (staged / MANIFEST).write_bytes(manifest)
            for path in sorted(staged.rglob("*"), reverse=True):
                if path.is_file():
                    path.chmod(0o444)
                _sync(path)
            _sync(staged)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.rename(staged, target)  # a directory that holds something is never replaced
            except OSError as error:
                if error.errno in _TAKEN:
                    return False
                raise
            _sync(target.parent)
            return True

    def files(self, key: str) -> list[str]:
        top = self.root / key
        with self._explained("read"):
            return [
                Path(folder, name).relative_to(top).as_posix()
                for folder, directories, names in os.walk(top)
                for name in (*names, *(d for d in directories if Path(folder, d).is_symlink()))
            ]

    def fetch(self, key: str, files: Iterable[str]) -> Path:
        return self.root / key

    def probe(self) -> None:
        with self.staging():
            pass

    def collect(self) -> int:
        area = self.root / STAGING
        removed = 0
        with self._explained("clean up"):
            locks = list(area.glob(f"*{LOCK}")) if area.is_dir() else []
        for lock in locks:
            with contextlib.suppress(OSError):
                held = os.open(lock, os.O_RDWR)
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                    lock.unlink(missing_ok=True)
                    removed += 1
                finally:
                    os.close(held)
        return removed

    @contextlib.contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._explain(doing, error) from error

    def _explain(self, doing: str, error: OSError) -> EquipoiseError:
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


def _claim(path: Path) -> int:
    """Create a lock file and hold its lock. A cleaner may have removed it in between: then another one is made."""
    while True:
        held = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(held, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(held).st_ino:
                return held
        os.close(held)


def _sync(path: Path) -> None:
    """Force a file or a directory's entries to the disk, so that what is visible survives a power cut."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
