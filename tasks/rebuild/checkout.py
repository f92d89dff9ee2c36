"""A fresh clone at the commit of a version, in a directory of its own; the working copy is only read."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.errors import InputError
from tasks.changes import apply, check_kept
from tasks.identity import code as code_of
from tasks.identity import redacted
from tasks.rebuild.record import CHANGES, Record
from tasks.registry import CorruptError

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def check_out(record: Record, repository: Path | str, target: Path, with_changes: bool) -> None:
    """Clone `repository` into `target` at the version's commit, with what was uncommitted if there was and that is wanted.

    The address that the version names is never cloned: whoever can write to a registry could name one. Raises InputError when
    the commit is unknown or the repository does not have it, CorruptError when the clone is not what was recorded.
    """
    commit = record.code.get("commit")
    if not commit:
        raise InputError(
            f"{record.reference} does not know its commit ({record.code.get('note') or 'none was recorded'}), so it cannot be rebuilt."
        )
    if not _COMMIT.fullmatch(str(commit)):
        raise CorruptError(
            f"{record.reference} names {str(commit)[:60]!r} as its commit, which cannot be one. Nothing was run."
        )
    changed = list(record.code.get("changed") or [])
    kept = record.document(CHANGES.removesuffix(".json")) or None
    if record.code.get("dirty"):
        check_kept(record.reference, changed, kept, with_changes)
    _clone(record, repository, target, str(commit))
    if kept is not None and record.code.get("dirty"):
        apply(target, kept["files"])
        found = code_of(target)
        if found["difference_sha256"] != record.code.get("difference_sha256"):
            raise CorruptError(
                f"the changes that {record.reference} keeps are not those that it was made with. Nothing was run."
            )


def write_params(record: Record, target: Path, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Make the clone's params.yaml say what the version recorded (JSON is YAML), with some sections replaced."""
    params = record.document("params") or record.identity["params"]
    params = {**params, **(changes or {})}
    (target / "params.yaml").write_text(json.dumps(params, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return params


def _clone(record: Record, repository: Path | str, target: Path, commit: str) -> None:
    if not str(repository) or str(repository).startswith("-"):
        raise InputError(f"--repository: {str(repository)!r} is not a repository.")
    shown = redacted(str(repository))
    remote = str(record.code.get("remote") or "")
    hint = f" It was made in {remote}; clone that, or name it with --repository." if remote else ""
    done = _git("clone", "--quiet", "--no-checkout", "--", str(repository), str(target))
    if done.returncode:
        raise InputError(f"{shown} cannot be cloned: {redacted(_last(done.stderr))}.{hint}")
    if _git("-C", str(target), "cat-file", "-e", f"{commit}^{{commit}}").returncode:
        # A commit that no branch leads to any more may still be there to be asked for.
        _git("-C", str(target), "fetch", "--quiet", "origin", commit)
    done = _git("-C", str(target), "checkout", "--quiet", "--detach", commit)
    if done.returncode:
        raise InputError(f"{shown} does not have the commit {commit[:12]} of {record.reference}.{hint}")


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k.startswith("GIT_CONFIG")}
    try:
        return subprocess.run(
            ["git", *words], capture_output=True, encoding="utf-8", errors="replace", env=environment, check=False
        )
    except FileNotFoundError:
        raise InputError("git is not installed, so no version can be rebuilt. Install it.") from None


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1].removeprefix("fatal: ").rstrip(".")
