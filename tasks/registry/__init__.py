"""The model registry: immutable versions with checksums, aliases moved atomically, an append-only history."""

from collections.abc import Callable
from pathlib import Path

from models.errors import InputError, nearest
from tasks.registry.aliases import AliasMovedError, Move, Pointer
from tasks.registry.files import FileStore
from tasks.registry.manifest import CorruptError, Manifest
from tasks.registry.names import CHALLENGER, CHAMPION, PREVIOUS, parse_reference
from tasks.registry.registry import Expected, Registry
from tasks.registry.store import Store
from tasks.registry.versions import Loaded, Published

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "PREVIOUS",
    "AliasMovedError",
    "CorruptError",
    "Expected",
    "Loaded",
    "Manifest",
    "Move",
    "Pointer",
    "Published",
    "Registry",
    "Store",
    "open_registry",
    "parse_reference",
]


def _open_files(url: str, place: str, root: Path) -> Store:
    return FileStore((root / Path(place).expanduser()).absolute(), url)


_STORES: dict[str, Callable[[str, str, Path], Store]] = {"file": _open_files}
"""What opens each scheme: (url, what follows '://', working copy) -> store."""


def open_registry(url: str, root: Path | None = None) -> Registry:
    """The registry at `url`: file://PATH, relative to `root` (the working copy; by default here) or absolute.

    Nothing is created or touched until something is published. An unknown scheme or an empty path is an InputError.
    """
    scheme, separator, place = url.partition("://")
    if not separator:
        raise InputError(f"registry.url: '{url}' has no scheme. Write file://{url or 'registry'}.")
    if scheme not in _STORES:
        raise InputError(f"registry.url: '{url}': no registry of kind '{scheme}://'. {nearest(scheme, _STORES)}")
    if not place or "\0" in place:
        raise InputError(f"registry.url: '{url}' names no place. Write file://registry, or file:///absolute/path.")
    return Registry(_STORES[scheme](url, place, root or Path()))
