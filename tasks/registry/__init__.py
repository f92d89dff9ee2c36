"""The model registry: immutable versions with checksums, aliases moved atomically, an append-only history."""

from collections.abc import Callable
from pathlib import Path

from models.errors import InputError, nearest
from tasks.identity import redacted
from tasks.registry.aliases import AliasMovedError, Move, Pointer
from tasks.registry.interface import Collected, Expected, Loaded, Published, Registry
from tasks.registry.manifest import Manifest
from tasks.registry.names import CHALLENGER, CHAMPION, PREVIOUS, parse_reference
from tasks.registry.seals import CorruptError, UntrustedError

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "PREVIOUS",
    "AliasMovedError",
    "Collected",
    "CorruptError",
    "Expected",
    "Loaded",
    "Manifest",
    "Move",
    "Pointer",
    "Published",
    "Registry",
    "UntrustedError",
    "open_registry",
    "parse_reference",
]


def _open_files(url: str, place: str, root: Path) -> Registry:
    from tasks.registry.files import FileStore
    from tasks.registry.registry import StoredRegistry
    from tasks.registry.seals import Seals

    return StoredRegistry(FileStore((root / Path(place).expanduser()).absolute(), url), Seals.of_environment())


def _open_s3(url: str, place: str, _root: Path) -> Registry:
    from tasks.registry.registry import StoredRegistry
    from tasks.registry.s3.store import S3Store
    from tasks.registry.seals import Seals

    return StoredRegistry(S3Store.at(url, place), Seals.of_environment())


_KINDS: dict[str, Callable[[str, str, Path], Registry]] = {"file": _open_files, "s3": _open_s3}
"""What opens each scheme: (url, what follows '://', working copy) -> registry."""


def open_registry(url: str, root: Path | None = None) -> Registry:
    """The registry at `url`: file://PATH, relative to `root` (by default here) or absolute; or s3://BUCKET/PREFIX.

    Nothing is created, touched or connected to until something is asked of it. A wrong address is an InputError.
    """
    scheme, separator, place = url.partition("://")
    shown = redacted(url)
    if not separator:
        raise InputError(f"registry.url: '{shown}' has no scheme. Write file://{shown or 'registry'}.")
    if scheme not in _KINDS:
        raise InputError(f"registry.url: '{shown}': no registry of kind '{scheme}://'. {nearest(scheme, _KINDS)}")
    if not place or "\0" in place:
        raise InputError(f"registry.url: '{shown}' names no place. Write file://registry, or file:///absolute/path.")
    return _KINDS[scheme](url, place, root or Path())
