"""What listings show of every version, without reading every manifest: blocks of 16, 256 and 4,096 versions, written once.

Block b of level l sums up the versions (b-1) * 16^l + 1 … b * 16^l. It follows from their manifests, which never change,
so that whoever writes it writes the same, and one that is missing or damaged costs time and nothing else: then what it
sums up is read. Of n versions at most 15 blocks of each level and 15 manifests are read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from models.errors import EquipoiseError
from tasks.registry.manifest import Manifest
from tasks.registry.names import version_id
from tasks.registry.seals import FORMAT, CorruptError, Seals
from tasks.registry.store import Series, Store

log = logging.getLogger("equipoise")

KIND = "index"
WIDTH = 16
LEVELS = (3, 2, 1)
READERS = 8


class Entry(BaseModel):
    """What is shown of a version: its manifest without the files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    digest: str
    run: str
    created: str
    by: str
    summary: dict[str, Any]

    @staticmethod
    def of(manifest: Manifest) -> Entry:
        """The part that is listed."""
        return Entry(**{name: getattr(manifest, name) for name in Entry.model_fields})


@dataclass(frozen=True)
class Damaged:
    """A version whose manifest cannot be believed, and why."""

    version: str
    why: str


Listed = Entry | Damaged
_ENTRIES = TypeAdapter(list[Entry])


@dataclass(frozen=True)
class _Block:
    """Which versions a block is about; level 0 is a version itself."""

    level: int
    number: int

    @property
    def first(self) -> int:
        return (self.number - 1) * WIDTH**self.level + 1

    @property
    def parts(self) -> list[_Block]:
        return [_Block(self.level - 1, (self.number - 1) * WIDTH + i) for i in range(1, WIDTH + 1)]


@dataclass
class Listing:
    """The versions of a model, oldest first, and the blocks that ought to have been there."""

    listed: list[Listed]
    missing: list[_Block] = field(default_factory=list)


class Index:
    """The blocks of one model."""

    def __init__(self, store: Store, seals: Seals, name: str, manifest: Callable[[str], Manifest]) -> None:
        self._store = store
        self._seals = seals
        self._name = name
        self._manifest = manifest

    def read(self, first: int, last: int) -> Listing:
        """The versions from `first` to `last`, with as few reads as the blocks allow."""
        found: dict[int, list[Listed]] = {}
        missing: list[_Block] = []
        wanted = _cover(first, last)
        with ThreadPoolExecutor(READERS) as threads:
            while wanted:
                answers = list(threads.map(self._read, wanted)) if len(wanted) > 1 else [self._read(wanted[0])]
                absent = [block for block, entries in zip(wanted, answers, strict=True) if entries is None]
                found |= {b.first: entries for b, entries in zip(wanted, answers, strict=True) if entries is not None}
                missing += absent
                wanted = [part for block in absent for part in block.parts]
        return Listing([entry for start in sorted(found) for entry in found[start]], missing)

    def complete(self, last: int, missing: Iterable[_Block] = ()) -> None:
        """Write the blocks that end with version `last`, and those that were found missing, the small ones first.

        A version that is damaged is in no block. That a block cannot be written is no reason for anything to fail.
        """
        due = [_Block(level, last // WIDTH**level) for level in LEVELS if last % WIDTH**level == 0]
        for block in sorted({*due, *missing}, key=lambda b: (b.level, b.number)):
            try:
                self._write(block)
            except EquipoiseError as error:
                log.warning("the list of versions of %s stays slower than it could be: %s", self._name, error)
                return

    def _write(self, block: _Block) -> None:
        entries = self.read(block.first, block.first + WIDTH**block.level - 1).listed
        if any(isinstance(entry, Damaged) for entry in entries):
            return
        record = {
            "format": FORMAT,
            "name": self._name,
            "level": block.level,
            "number": block.number,
            "entries": [entry.model_dump(mode="json") for entry in entries if isinstance(entry, Entry)],
        }
        self._store.create(self._series(block), block.number, self._seals.seal(KIND, record))

    def _read(self, block: _Block) -> list[Listed] | None:
        """The entries of a block; None when it is not there or cannot be believed."""
        if block.level == 0:
            version = version_id(block.number)
            try:
                return [Entry.of(self._manifest(version))]
            except CorruptError as error:
                return [Damaged(version, str(error))]
        content = self._store.read(self._series(block), block.number)
        if content is None:
            return None
        where = self._store.where(self._series(block), block.number)
        try:
            record = self._seals.unseal(KIND, content, where)
            entries = _ENTRIES.validate_python(record["entries"])
            about = (record["name"], record["level"], record["number"])
        except (CorruptError, ValidationError, KeyError) as error:
            log.warning("%s; the versions that it lists are read one by one", error)
            return None
        expected = [version_id(block.first + i) for i in range(WIDTH**block.level)]
        if about != (self._name, block.level, block.number) or [e.version for e in entries] != expected:
            log.warning("%s lists other versions than it should; they are read one by one", where)
            return None
        return list(entries)

    def _series(self, block: _Block) -> Series:
        return Series(self._name, f"index-{block.level}")


def _cover(first: int, last: int) -> list[_Block]:
    """The fewest blocks, largest first where they fit, that sum up exactly the versions from `first` to `last`."""
    return list(_blocks(first, last))


def _blocks(first: int, last: int) -> Iterator[_Block]:
    at = first
    while at <= last:
        level = next(
            (n for n in LEVELS if (at - 1) % WIDTH**n == 0 and at + WIDTH**n - 1 <= last),
            0,
        )
        yield _Block(level, (at - 1) // WIDTH**level + 1)
        at += WIDTH**level
