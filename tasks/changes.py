"""What a working copy holds beyond its commit, kept with a version so that it can be rebuilt; nothing that may be a secret."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from models.errors import InputError
from tasks.identity import redacted
from tasks.registry.seals import CorruptError

MOST_BYTES = 4_000_000

_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bA(KIA|SIA)[0-9A-Z]{16}\b"
    r"|(?i:secret|passw(or)?d|token|api_?key|access_?key)[\w.]*[\"']?\s*[:=]\s*[\"'][^\"'\s]{8,}[\"']"
)


def keep(root: Path, changed: Sequence[str]) -> dict[str, Any]:
    """The content of the changed files: {"files": {path: …}}; or {"why": …} where it must not or cannot be kept.

    A file is its `text`, or `base64` of its bytes, or is `deleted`.
    """
    files: dict[str, Any] = {}
    total = 0
    for name in changed:
        path = root / name
        if path.is_symlink() or path.is_dir():
            return {"why": f"{name} is a link or a repository of its own"}
        if not path.is_file():
            files[name] = {"deleted": True}
            continue
        content = path.read_bytes()
        total += len(content)
        if total > MOST_BYTES:
            return {"why": f"the changed files have more than {MOST_BYTES / 1e6:g} MB"}
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            files[name] = {"base64": base64.b64encode(content).decode()}
            continue
        if _SECRET.search(text) or redacted(text) != text:
            return {"why": f"{name} may hold a secret"}
        files[name] = {"text": text}
    return {"files": files}


def apply(root: Path, files: Mapping[str, Any]) -> None:
    """Make a clone of the commit what the working copy was. A path that leads out of it is a CorruptError."""
    for name, state in files.items():
        target = root / _inside(name)
        if any(parent.is_symlink() for parent in (target, *target.parents) if parent.is_relative_to(root)):
            raise CorruptError(f"the changes of this version would write through the link {name}. Nothing was run.")
        if state.get("deleted"):
            target.unlink(missing_ok=True)
            continue
        content = state["text"].encode() if "text" in state else base64.b64decode(state["base64"])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or path.parts[0] in (".git", ".dvc"):
        raise CorruptError(
            f"the changes of this version name {name!r}, which is no file of the project. Nothing was run."
        )
    return path


def check_kept(reference: str, changed: Sequence[str], kept: Mapping[str, Any] | None, wanted: bool) -> None:
    """Raise InputError unless what was changed is known, and its user wants it: it is code, and comes from the registry."""
    shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
    what = f"{reference} was registered from a working copy with uncommitted changes ({len(changed)}: {shown})"
    if kept is None or "files" not in kept:
        why = (kept or {}).get("why", "this version was registered before they were")
        raise InputError(
            f"{what}, and these are not kept ({why}), so it cannot be rebuilt. Commit before you register, and register again."
        )
    if not wanted:
        raise InputError(
            f"{what}. They are kept with the version, and are code that would run here: look at changes.json in it, and add "
            "--with-changes if you trust it."
        )
