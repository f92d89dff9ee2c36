"""The manifest of a version: every file with its SHA-256 and size, and a checksum over the manifest itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import InputError
from tasks.registry.seals import CorruptError, Seals, canonical

MANIFEST = "manifest.json"
"""The record that makes a version exist: without it, its files are not there."""

KIND = "manifest"
SUFFIXES = (".safetensors", ".json", ".html")
"""The only kinds of file in a version; none of them can carry code that runs when it is loaded."""

CHUNK = 1 << 20


class FileEntry(BaseModel):
    """What one file must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class Manifest(BaseModel):
    """What a version is made of. `digest` covers the files; `run` says which run made them; `summary` is for listings.

    `stored` is where a store keeps the files if not beside the manifest. `token` tells this writer's manifest from any
    other's: a writer that never got an answer knows its own work by it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    name: str
    version: str
    digest: str
    run: str
    created: str
    by: str
    files: dict[str, FileEntry]
    summary: dict[str, Any]
    stored: str = Field("", pattern=r"^([0-9]{8}-[0-9a-f]{32})?$")
    token: str = ""


def digest_of(files: Mapping[str, FileEntry]) -> str:
    """SHA-256 over the paths, sums and sizes of the files: equal exactly when all of their content is equal."""
    return hashlib.sha256(canonical({path: [entry.sha256, entry.bytes] for path, entry in files.items()})).hexdigest()


def check_path(path: str) -> str:
    """`path` if a version may have a file there: relative, inside, and of a kind that cannot run code."""
    parts = PurePosixPath(path).parts
    if (
        not parts
        or PurePosixPath(path).is_absolute()
        or str(PurePosixPath(path)) != path
        or "\\" in path
        or "\0" in path
    ):
        raise InputError(f"{path!r} is not a plain relative path; a version cannot hold it.")
    if any(part.startswith(".") for part in parts) or path == MANIFEST:
        raise InputError(f"{path!r} is hidden, leads outside or is the manifest's own; a version cannot hold it.")
    if PurePosixPath(path).suffix not in SUFFIXES:
        raise InputError(f"{path!r}: a version holds {', '.join(SUFFIXES)} files only, as they cannot run code.")
    return path


def parse_manifest(content: bytes, where: str, seals: Seals) -> Manifest:
    """A manifest that is intact, consistent, signed if keys are trusted, and holds only files that a version may hold."""
    try:
        manifest = Manifest.model_validate(seals.unseal(KIND, content, where))
    except ValidationError as error:
        raise CorruptError(
            f"{where} is not a manifest ({error.error_count()} problems). Restore it from a backup."
        ) from None
    for path in manifest.files:
        try:
            check_path(path)
        except InputError as error:
            raise CorruptError(f"{where} lists a file that no version may hold: {error}") from None
    if manifest.digest != digest_of(manifest.files):
        raise CorruptError(f"{where} is damaged: its digest does not fit its files. Restore it from a backup.")
    return manifest


def verify_files(directory: Path, present: Iterable[str], manifest: Manifest, where: str) -> None:
    """Every listed file is there, of its size and sum, and nothing else is; the first that differs is named."""
    unknown = sorted(set(present) - set(manifest.files) - {MANIFEST})
    if unknown:
        raise CorruptError(
            f"{where} holds '{unknown[0]}', which its manifest does not list. Nothing was loaded. Someone has changed the "
            "version; find out who, and remove the file."
        )
    for path, expected in manifest.files.items():
        file = directory / path
        if file.is_symlink() or not file.is_file():
            raise CorruptError(
                f"{where}: '{path}' is missing or not a plain file. Nothing was loaded. Restore it from a backup."
            )
        size = file.stat().st_size
        if size != expected.bytes:
            raise CorruptError(
                f"{where}: '{path}' has {size} bytes, its manifest says {expected.bytes}: it is cut off or changed. "
                "Nothing was loaded. Restore it from a backup."
            )
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        if found != expected.sha256:
            raise CorruptError(
                f"{where}: '{path}' is damaged: its SHA-256 is {found}, its manifest says {expected.sha256}. "
                "Nothing was loaded. Restore it from a backup."
            )
