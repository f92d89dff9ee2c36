"""From a data set's name or path to files of this machine: a mirror, the download folder, or a download."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from models.errors import InputError, nearest
from tasks.params import Data
from tasks.sources.catalog import CATALOGUE, Entry, File, Files, find_entry, load_catalogue
from tasks.sources.download import check_sum, fetch, is_remote, list_s3, shown, sum_of
from tasks.stage import replacing

log = logging.getLogger("equipoise")

MIRROR_VARIABLE = "EQUIPOISE_MIRROR"
DOWNLOADS = Path(".equipoise") / "downloads"
SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".data": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".zip": "images",
}
Format = Literal[
    "csv",
    "parquet",
    "images",
    "mnist_idx",
    "cifar_binary",
    "lending",
    "conditions",
    "digits",
    "breast_cancer",
    "diabetes",
]


@dataclass(frozen=True)
class Locations:
    """Where files are looked for: a `mirror` of the public files, if there is one, and the `downloads` folder."""

    mirror: Path | None
    downloads: Path

    @staticmethod
    def of_environment() -> Locations:
        """The mirror that EQUIPOISE_MIRROR names and the working copy's own downloads."""
        mirror = os.environ.get(MIRROR_VARIABLE)
        return Locations(Path(mirror) if mirror else None, DOWNLOADS)


@dataclass(frozen=True)
class LocalFile:
    """A file at hand; `name` is how it is known, without this machine's folders."""

    path: Path
    name: str
    sha256: str
    part: str | None = None


@dataclass(frozen=True)
class Located:
    """A data set at hand: its `files` (none for a bundled one), how they are written, and its catalogue entry if known."""

    label: str
    format: Format
    files: tuple[LocalFile, ...] = ()
    entry: Entry | None = None
    source: Files | None = None


def locate(data: Data, locations: Locations, catalogue_file: Path = CATALOGUE) -> Located:
    """Find or download what `data` names, and check its sums. A download happens only for the data set named here."""
    if data.path is not None:
        return _own(data, locations)
    name = str(data.name)
    entry = find_entry(name, catalogue_file)
    if entry.bundled is not None:
        return Located(name, entry.bundled.format, entry=entry)
    source, files = _from_mirror(entry, locations.mirror) or _from_public(entry, locations.downloads)
    return Located(name, source.format, files, entry, source)


def _from_mirror(entry: Entry, mirror: Path | None) -> tuple[Files, tuple[LocalFile, ...]] | None:
    if mirror is None or entry.mirror is None:
        return None
    if not mirror.is_dir():
        raise InputError(f"{MIRROR_VARIABLE}: {mirror} is not a folder. Correct it, or unset it to download.")
    missing = [f.name for f in entry.mirror.files if not (mirror / f.name).is_file()]
    if missing:
        log.info("%s: the mirror has no %s; using the public source.", MIRROR_VARIABLE, ", ".join(missing))
        return None
    files = tuple(_checked(mirror / f.name, f) for f in entry.mirror.files)
    return entry.mirror, files


def _checked(path: Path, file: File) -> LocalFile:
    advice = f"Replace the file by the one of data/catalog.yaml, or unset {MIRROR_VARIABLE} to download it"
    check_sum(sum_of(path), file.sha256, f"{path} ({MIRROR_VARIABLE})", advice)
    return LocalFile(path, file.name, file.sha256, file.part)


def _from_public(entry: Entry, downloads: Path) -> tuple[Files, tuple[LocalFile, ...]]:
    if entry.public is None:
        raise InputError(f"This data set has no public source: set {MIRROR_VARIABLE} to a folder that holds its files.")
    for file in entry.public.files:
        path = downloads / file.name
        if not path.is_file() or sum_of(path) != file.sha256:
            fetch(str(file.url), path, file.sha256)
    return entry.public, tuple(LocalFile(downloads / f.name, f.name, f.sha256, f.part) for f in entry.public.files)


def _own(data: Data, locations: Locations) -> Located:
    path = str(data.path)
    if is_remote(path):
        return _remote(path, data, locations.downloads / "own")
    local = Path(path).expanduser()
    if not local.exists():
        siblings = [p.name for p in local.parent.iterdir()] if local.parent.is_dir() else []
        hint = f" {nearest(local.name, siblings)}" if 0 < len(siblings) <= 200 else ""
        raise InputError(f"data.path: {path} does not exist.{hint}")
    return _at_hand(local, local.name, data)


def _remote(url: str, data: Data, downloads: Path) -> Located:
    name = Path(shown(url).rstrip("/")).name
    target = downloads / hashlib.sha256(url.encode()).hexdigest()[:16] / name
    if url.startswith("s3://") and Path(name).suffix.lower() not in SUFFIXES:
        keys = list_s3(url)
        if not keys:
            raise InputError(f"data.path: {url} holds nothing. Check the bucket and the prefix.")
        with replacing(target) as folder:
            for key in keys:
                fetch(key, folder / _below(key, url.rstrip("/") + "/"))
        return _at_hand(target, name, data)
    _format_of(Path(name), shown(url))
    # What lies behind a user's address may change: it is only taken from the folder when its sum is known.
    if not (data.sha256 and target.is_file() and sum_of(target) == data.sha256):
        fetch(url, target, data.sha256)
    return _at_hand(target, name, data)


def _below(key: str, prefix: str) -> str:
    name = key.removeprefix(prefix)
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise InputError(f"data.path: the key {key} would leave the download folder. Rename it.")
    return name


def _at_hand(path: Path, name: str, data: Data) -> Located:
    given = shown(str(data.path)) if is_remote(str(data.path)) else str(data.path)
    if path.is_dir():
        digest = folder_sum(path)
        format_: Format = "images"
    else:
        format_ = _format_of(path, given)
        digest = sum_of(path)
    check_sum(digest, data.sha256, f"data.path: {given}", "Check the file, or correct data.sha256")
    return Located(data.label, format_, (LocalFile(path, name, digest),))


def _format_of(path: Path, given: str) -> Format:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"data.path: {given}: '{suffix or 'no suffix'}' is not a kind of file that can be read. "
            "Use .csv, .tsv or .parquet, or a folder (or .zip) with one folder of images per class."
        )
    return SUFFIXES[suffix]  # type: ignore[return-value]


def folder_sum(folder: Path) -> str:
    """SHA-256 over the names and contents of all files of a folder, in the order of their names."""
    digest = hashlib.sha256()
    for name in visible_files(folder):
        digest.update(f"{name}\0{sum_of(folder / name)}\n".encode())
    return digest.hexdigest()


def visible_files(folder: Path) -> list[str]:
    """Names of all files below a folder, sorted, without hidden files and folders."""
    names = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return sorted(n.as_posix() for n in names if not any(part.startswith(".") for part in n.parts))


def catalogue(locations: Locations | None = None, path: Path = CATALOGUE) -> list[dict[str, Any]]:
    """What `equipoise data list` shows of every known data set, ready for JSON.

    `at_hand` is 'bundled', 'mirror', 'downloaded' or 'download' (a run that names it would fetch it).
    """
    locations = locations or Locations.of_environment()
    return [
        {
            "name": name,
            "about": entry.about,
            "at_hand": _at_hand_of(entry, locations),
            "target": entry.target.column,
            "positive": entry.target.positive,
            "sensitive": [s.name for s in entry.attributes],
            "long_tail": entry.long_tail is not None,
            "licence": entry.licence,
            "home": entry.home,
            "urls": [f.url for f in entry.public.files] if entry.public else [],
        }
        for name, entry in load_catalogue(path).items()
    ]


def _at_hand_of(entry: Entry, locations: Locations) -> str:
    def holds(folder: Path | None, files: Files | None) -> bool:
        return folder is not None and files is not None and all((folder / f.name).is_file() for f in files.files)

    if entry.bundled is not None:
        return "bundled"
    if holds(locations.mirror, entry.mirror):
        return "mirror"
    return "downloaded" if holds(locations.downloads, entry.public) else "download"
