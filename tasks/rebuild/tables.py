"""The data that a version was made from, by their sums: from DVC's cache or its remote, whatever the source holds by now."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from models.errors import EquipoiseError
from tasks.identity import sums
from tasks.params import read_yaml

log = logging.getLogger("equipoise")

LOCK = "dvc.lock"
FOLDER = ".dir"

_SUM = re.compile(r"[0-9a-f]{32}(\.dir)?")


def recorded_outputs(root: Path) -> dict[str, str]:
    """What DVC's record of the stages calls their outputs: path -> MD5. Empty where nothing was recorded."""
    path = root / LOCK
    if not path.is_file():
        return {}
    stages: Mapping[str, Any] = read_yaml(path).get("stages") or {}
    outputs = [out for stage in stages.values() for out in stage.get("outs") or ()]
    return {str(out["path"]): str(out["md5"]) for out in outputs if "md5" in out}


def restore(root: Path, name: str, target: Path) -> str | None:
    """Bring what DVC knows as `name` (an MD5) to `target`, from the cache of the working copy `root` or its remote.

    Says from where, or None when neither has all of it. Every file is checked against its sum; nothing in `root` changes.
    """
    if not _SUM.fullmatch(name):
        return None
    for where, storage in _storages(root):
        try:
            if _copy(storage, name, target):
                return where
        except EquipoiseError:
            raise
        except Exception as error:  # noqa: BLE001  each kind of storage has errors of its own
            log.warning("%s cannot be used: %s: %s", where, type(error).__name__, error)
    return None


def _storages(root: Path) -> Iterator[tuple[str, Any]]:
    """DVC's cache, then its default remote if it has one."""
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        repo = Repo(str(root))
    except DvcException:
        return
    yield "DVC's cache", repo.cache.local
    if repo.config["core"].get("remote"):
        try:
            yield "DVC's remote", repo.cloud.get_remote_odb()
        except DvcException as error:
            log.warning("DVC's remote cannot be used: %s", error)


def _copy(storage: Any, name: str, target: Path) -> bool:
    if not name.endswith(FOLDER):
        content = _content(storage, name)
        if content is None:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return True
    listed = _content(storage, name)
    if listed is None:
        return False
    for entry in json.loads(listed):
        path = PurePosixPath(entry["relpath"])
        if path.is_absolute() or ".." in path.parts:
            raise EquipoiseError(
                f"DVC's record {name} names {entry['relpath']!r}, which leads outside. Nothing was run."
            )
        if not _copy(storage, str(entry["md5"]), target / path):
            return False
    return True


def _content(storage: Any, name: str) -> bytes | None:
    """An object of DVC's storage; None when it is not there, or is not what it is called."""
    path = storage.oid_to_path(name)
    if not storage.fs.exists(path):
        return None
    content: bytes = storage.fs.cat_file(path) if hasattr(storage.fs, "cat_file") else storage.fs.fs.cat_file(path)
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != name.removesuffix(FOLDER):
        log.warning("%s in DVC's storage is damaged; it is not used", name)
        return None
    return content


def find_table(root: Path, present: Path, recorded: Mapping[str, Any], target: Path) -> Path | None:
    """A table with the recorded sums: the working copy's own if it is that, else from DVC into `target`; None if it is gone."""
    if (
        present.is_file()
        and present.stat().st_size == recorded["bytes"]
        and sums(present)["sha256"] == recorded["sha256"]
    ):
        return present
    if restore(root, str(recorded["md5"]), target) is not None and sums(target)["sha256"] == recorded["sha256"]:
        return target
    return None
