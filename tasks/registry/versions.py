"""Versions of models: they appear whole or not at all, under consecutive numbers, and never change."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

from models.errors import InputError, nearest
from tasks.identity import redacted
from tasks.registry.index import Damaged, Index, Listed
from tasks.registry.interface import GRACE_SECONDS, Collected, Loaded, Published
from tasks.registry.manifest import KIND, MANIFEST, Manifest, check_path, digest_of, parse_manifest, verify_files
from tasks.registry.names import check_name, is_name, version_id, version_number
from tasks.registry.record import now, who
from tasks.registry.seals import FORMAT, CorruptError, Seals
from tasks.registry.sources import readable
from tasks.registry.store import VERSIONS, Leftover, Series, Store

log = logging.getLogger("equipoise")

READERS = 8
LEAST_GRACE_SECONDS = 3600.0


class Versions:
    """The versions in one store.

    Methods raise InputError for names that are not there, CorruptError for anything that is not what was written.
    """

    def __init__(self, store: Store, seals: Seals | None = None) -> None:
        self.store = store
        self.seals = Seals() if seals is None else seals

    @property
    def url(self) -> str:
        """Where it is."""
        return self.store.url

    def probe(self) -> None:
        """Raise the error that registering would meet if the place cannot be written."""
        self.store.probe()

    def names(self) -> list[str]:
        """The models that have a version."""
        return sorted(name for name in self.store.names() if is_name(name) and self._last(name))

    def versions(self, name: str) -> list[str]:
        """The versions of a model, oldest first; empty when there is no such model."""
        return [version_id(n) for n in range(1, self._last(check_name(name)) + 1)]

    def latest(self, name: str) -> str | None:
        """The newest version of a model."""
        last = self._last(check_name(name))
        return version_id(last) if last else None

    def listing(self, name: str) -> list[Listed]:
        """Every version with what listings show of it, oldest first; its files have not been verified."""
        last = self._last(check_name(name))
        return self._index(name).read(1, last).listed

    def manifest(self, name: str, version: str) -> Manifest:
        """What a version is made of; its files have not been verified."""
        check_name(name)
        number = version_number(version)
        if number is None:
            raise InputError(f"{name}@{version}: '{version}' is not a version. Write v1, v2 …")
        series = Series(name, VERSIONS)
        where = self._where(name, version)
        content = self.store.read(series, number)
        if content is None:
            last = self._last(name)
            if number <= last:
                raise CorruptError(f"{where} has lost its {MANIFEST}. Restore it from a backup; nothing was loaded.")
            known = (
                f"Its versions: {', '.join(version_id(n) for n in range(max(1, last - 4), last + 1))}."
                if last
                else self._known_names(name)
            )
            raise InputError(f"{name}@{version} is not in the registry {self.url}. {known}")
        manifest = parse_manifest(content, self.store.where(series, number), self.seals)
        if (manifest.name, manifest.version) != (name, version):
            raise CorruptError(f"{where} says that it is {manifest.name}@{manifest.version}. Nothing was loaded.")
        return manifest

    def version_of_run(self, name: str, run: str) -> Published | None:
        """The version that was published for this run, if there is one."""
        return self._of_run(name, run, self._index(check_name(name)).read(1, self._last(name)).listed)

    def verified(self, name: str, version: str, digest: str | None = None) -> Loaded:
        """A version with every file verified, and of this digest if one is given; what differs is never loaded."""
        manifest = self.manifest(name, version)
        where = self._where(name, version)
        if digest is not None and digest != manifest.digest:
            raise CorruptError(
                f"{where} is not the version that the alias was pointed at (digest {manifest.digest[:12]}, expected "
                f"{digest[:12]}). Nothing was loaded. Restore it from a backup."
            )
        fetched = self.store.fetch(manifest, where)
        verify_files(fetched.directory, fetched.present, manifest, where)
        return Loaded(name, version, fetched.directory, manifest, where, self.store)

    def publish(self, name: str, files: Mapping[str, Path | bytes], run: str, summary: Mapping[str, Any]) -> Published:
        """Make a version of these files (path in the version -> where to take it from), under the next free number.

        `run` identifies what made the files: a version with the same run is returned instead of making another, also
        when several writers publish it at once. `summary` is shown in listings. Raises InputError for a file that a
        version may not hold, and the store's errors; then nothing has been published.
        """
        check_name(name)
        for path, source in files.items():
            check_path(path)
            if isinstance(source, Path):
                with readable(source, path):
                    source.open("rb").close()
        self.store.tidy()
        index, last = self._index(name), self._last(name)
        known = index.read(1, last)
        found = self._of_run(name, run, known.listed)
        if found is not None:
            return found
        with self.store.writer(name, run) as writer:
            entries = {path: writer.add(path, source) for path, source in sorted(files.items())}
            while True:
                manifest = Manifest(
                    format=FORMAT,
                    name=name,
                    version=version_id(last + 1),
                    digest=digest_of(entries),
                    run=run,
                    created=now(),
                    by=who(),
                    files=entries,
                    summary=redacted(summary),
                    stored=writer.stored,
                    token=uuid4().hex,
                )
                if writer.publish(last + 1, self.seals.seal(KIND, manifest.model_dump(mode="json"))):
                    break
                # The number is taken. Whoever gets the next one has looked at all before it, so that two writers of one
                # run cannot both publish it.
                first, last = last + 1, self._last(name)
                more = index.read(first, last)
                found = self._of_run(name, run, more.listed)
                if found is not None:
                    return found
        index.complete(last + 1, known.missing)
        return Published(manifest.version, manifest.digest, True)

    def collect(self, grace: float = GRACE_SECONDS, dry: bool = False) -> Collected:
        """Remove what was brought in for versions that never came about, `grace` seconds after nobody can publish it any more.

        What a version refers to is never touched: when a manifest cannot be read, its model's files all stay, and the
        CorruptError says so. With `dry` nothing is removed.
        """
        if grace < LEAST_GRACE_SECONDS:
            raise InputError(
                f"a grace of {grace / 3600:g} hours could take what a writer is about to publish; give at least "
                f"{LEAST_GRACE_SECONDS / 3600:g}."
            )
        abandoned = 0 if dry else self.store.tidy()
        total = Collected(removed=abandoned)
        for name in self.store.names():
            if not is_name(name):
                continue
            # In this order: whatever may use a leftover is among the manifests that are read after it was listed.
            leftovers = self.store.leftovers(name, grace)
            used = self._used(name) if leftovers else frozenset()
            garbage = [one for one in leftovers if (one.stored, one.sha256) not in used]
            if not dry:
                self.store.remove(garbage)
            total = _sum(total, garbage, len(leftovers) - len(garbage))
        return total

    def _used(self, name: str) -> frozenset[tuple[str, str]]:
        """Every file that a version refers to. One manifest that cannot be read makes this a CorruptError."""
        with ThreadPoolExecutor(READERS) as threads:
            manifests = threads.map(lambda version: self.manifest(name, version), self.versions(name))
            return frozenset((m.stored, entry.sha256) for m in manifests for entry in m.files.values())

    def _of_run(self, name: str, run: str, listed: Iterable[Listed]) -> Published | None:
        """The version of this run among these, by its own manifest. A damaged one is no obstacle."""
        for entry in listed:
            if isinstance(entry, Damaged):
                log.warning("%s", entry.why)
            elif entry.run == run:
                manifest = self.manifest(name, entry.version)
                if manifest.run == run:
                    return Published(manifest.version, manifest.digest, False)
        return None

    def _index(self, name: str) -> Index:
        return Index(self.store, self.seals, name, lambda version: self.manifest(name, version))

    def _last(self, name: str) -> int:
        return self.store.last(Series(name, VERSIONS))

    def _where(self, name: str, version: str) -> str:
        return f"{self.url}/{name}/versions/{version}"

    def _known_names(self, name: str) -> str:
        names = self.names()
        return nearest(name, names) if names else "Nothing is registered there yet; run `equipoise run` first."


def _sum(total: Collected, garbage: Iterable[Leftover], kept: int) -> Collected:
    removed = list(garbage)
    return Collected(total.removed + len(removed), total.bytes + sum(one.bytes for one in removed), total.kept + kept)
