"""Versions of models: they appear whole or not at all, under consecutive numbers, and never change."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from models.errors import InputError, nearest
from tasks.registry.manifest import (
    CHUNK,
    FORMAT,
    CorruptError,
    FileEntry,
    Manifest,
    check_path,
    digest_of,
    parse_manifest,
    seal,
    verify_files,
)
from tasks.registry.names import check_name, is_name, version_id, version_number
from tasks.registry.record import now, who
from tasks.registry.store import MANIFEST, Store

log = logging.getLogger("equipoise")


@dataclass(frozen=True)
class Published:
    """A version that is in the registry; `created` is False when it had been there before."""

    version: str
    digest: str
    created: bool


@dataclass(frozen=True)
class Loaded:
    """A version whose every file has been verified; read it from `directory`."""

    name: str
    version: str
    directory: Path
    manifest: Manifest


class Versions:
    """The versions in one store.

    Methods raise InputError for names that are not there, CorruptError for anything that is not what was written.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def url(self) -> str:
        """Where it is."""
        return self.store.url

    def probe(self) -> None:
        """Raise the error that registering would meet if the place cannot be written."""
        self.store.probe()

    def collect(self) -> int:
        """Remove what killed writers left behind; nothing that is visible or being written. Returns how many."""
        return self.store.collect()

    def names(self) -> list[str]:
        """The models that have a version."""
        return sorted(name for name in self.store.children("") if is_name(name) and self._numbers(name))

    def versions(self, name: str) -> list[str]:
        """The versions of a model, oldest first; empty when there is no such model."""
        return [version_id(n) for n in self._numbers(check_name(name))]

    def manifest(self, name: str, version: str) -> Manifest:
        """What a version is made of; its files have not been verified."""
        check_name(name)
        if version_number(version) is None:
            raise InputError(f"{name}@{version}: '{version}' is not a version. Write v1, v2 …")
        where = self._where(name, version)
        content = self.store.read(f"{name}/versions/{version}/{MANIFEST}")
        if content is None:
            versions = self.versions(name)
            if version in versions:
                raise CorruptError(f"{where} has lost its {MANIFEST}. Restore it from a backup; nothing was loaded.")
            known = f"Its versions: {', '.join(versions[-5:])}." if versions else self._known_names(name)
            raise InputError(f"{name}@{version} is not in the registry {self.url}. {known}")
        manifest = parse_manifest(content, f"{where}/{MANIFEST}")
        if (manifest.name, manifest.version) != (name, version):
            raise CorruptError(f"{where} says that it is {manifest.name}@{manifest.version}. Nothing was loaded.")
        return manifest

    def version_of_run(self, name: str, run: str) -> Published | None:
        """The version that was published for this run, if there is one."""
        return self._find_run(check_name(name), run, {})

    def verified(self, name: str, version: str, digest: str | None = None) -> Loaded:
        """A version with every file verified, and of this digest if one is given; what differs is never loaded."""
        manifest = self.manifest(name, version)
        where = self._where(name, version)
        if digest is not None and digest != manifest.digest:
            raise CorruptError(
                f"{where} is not the version that the alias was pointed at (digest {manifest.digest[:12]}, expected "
                f"{digest[:12]}). Nothing was loaded. Restore it from a backup."
            )
        key = f"{name}/versions/{version}"
        directory = self.store.fetch(key, manifest.files)
        verify_files(directory, self.store.files(key), manifest, where)
        return Loaded(name, version, directory, manifest)

    def publish(self, name: str, files: Mapping[str, Path | bytes], run: str, summary: Mapping[str, Any]) -> Published:
        """Make a version of these files (path in the version -> where to take it from), under the next free number.

        `run` identifies what made the files: a version with the same run is returned instead of making another, also
        when several writers publish it at once. `summary` is shown in listings. Raises InputError for a file that a
        version may not hold, and the store's errors; then nothing has been published.
        """
        check_name(name)
        for path in files:
            check_path(path)
        self.store.collect()
        known: dict[int, Manifest | None] = {}
        found = self._find_run(name, run, known)
        if found is not None:
            return found
        with self.store.staging() as staged:
            entries = {path: _copy(source, staged / path, path) for path, source in sorted(files.items())}
            while True:
                number = max(known, default=0) + 1
                manifest = Manifest(
                    format=FORMAT,
                    name=name,
                    version=version_id(number),
                    digest=digest_of(entries),
                    run=run,
                    created=now(),
                    by=who(),
                    files=entries,
                    summary=dict(summary),
                )
                if self.store.publish(
                    f"{name}/versions/{manifest.version}", staged, seal(manifest.model_dump(mode="json"))
                ):
                    return Published(manifest.version, manifest.digest, True)
                # The number is taken. Whoever gets the next one has looked at all before it, so that two writers of one
                # run cannot both publish it.
                found = self._find_run(name, run, known)
                if found is not None:
                    return found

    def _find_run(self, name: str, run: str, known: dict[int, Manifest | None]) -> Published | None:
        """The version of this run among those not in `known` yet, which are added to it. A damaged one is no obstacle."""
        for number in self._numbers(name):
            if number in known:
                continue
            try:
                manifest = known[number] = self.manifest(name, version_id(number))
            except CorruptError as error:
                known[number] = None
                log.warning("%s", error)
                continue
            if manifest.run == run:
                return Published(manifest.version, manifest.digest, False)
        return None

    def _numbers(self, name: str) -> list[int]:
        found = (version_number(child) for child in self.store.children(f"{name}/versions"))
        return sorted(number for number in found if number is not None)

    def _where(self, name: str, version: str) -> str:
        return f"{self.url}/{name}/versions/{version}"

    def _known_names(self, name: str) -> str:
        names = self.names()
        return nearest(name, names) if names else "Nothing is registered there yet; run `equipoise run` first."


def _copy(source: Path | bytes, target: Path, path: str) -> FileEntry:
    """Copy and hash in one pass, so that the sum is of what was written. A write's OSError is the store's to explain."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, bytes):
        target.write_bytes(source)
        return FileEntry(sha256=hashlib.sha256(source).hexdigest(), bytes=len(source))
    try:
        opened = source.open("rb")
    except OSError as error:
        raise InputError(
            f"{source} cannot be read ({error.strerror}), so '{path}' cannot be registered. Run its stage again."
        ) from None
    digest, size = hashlib.sha256(), 0
    with opened, target.open("wb") as written:
        read = _reader(opened, source)
        while chunk := read():
            written.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return FileEntry(sha256=digest.hexdigest(), bytes=size)


def _reader(opened: BinaryIO, source: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return opened.read(CHUNK)
        except OSError as error:
            raise InputError(
                f"{source} cannot be read ({error.strerror}). Check the disk, and run its stage again."
            ) from None

    return read
