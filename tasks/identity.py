"""What a version came from: code, data, parameters, seeds, libraries, platform; enough to rebuild it, and no secrets."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

SOURCE_SUFFIXES = (
    ".py",
    ".pyi",
    ".toml",
    ".yaml",
    ".yml",
    ".json",
    ".lock",
    ".txt",
    ".cfg",
    ".ini",
    ".sh",
    ".html",
    ".css",
)
"""Untracked files of these kinds count as code; a table or an archive that lies in the working copy does not."""

OWN_PARAMETERS = re.compile(r"(?!dvc\.yaml$)[^/]+\.ya?ml")
"""A file beside params.yaml, as `--params` takes it: parameters are recorded by themselves, so it is no code either."""

STAGES = (
    "ingest", "validate", "split", "start", "resample", "tune", "train", "evaluate", "audit", "gate", "report", "register",
)  # fmt: skip
PRODUCTS = ("dvc.lock", "params.yaml", *(f"data/{stage}" for stage in STAGES))
"""Not code: what runs write, and the parameters, which are recorded by themselves."""

LIBRARIES = (
    "torch",
    "scikit-learn",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "imbalanced-learn",
    "optuna",
    "ray",
    "safetensors",
)

_SECRET = re.compile(
    r"token|secret|password|passwd|signature|credential|auth|api_?key|access_?key|^sig$|^key$|^x-amz-", re.I
)
_SECRET_VARIABLE = re.compile(
    r"(token|secret|passw|(^|_)pass(phrase)?$|_pwd$|credential|api_?key|access_?key|private_?key|auth_string|webhook)"
    r"(?!.*_(path|file|dir|directory|mode|name)$)(?!.*(?<!secret)_id$)",
    re.I,
)
"""The number of a key or a token (AWS_ACCESS_KEY_ID) is none; PWD alone is the shell's folder."""
SHORTEST_SECRET = 8
"""Characters: a shorter value of a variable is a word that may stand anywhere."""
_WORD = re.compile(r"[a-z]{,15}")
"""As is one like this (postgres, changeme), whatever the variable."""
_URL = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s'\"<>]+")


def identity(
    root: Path,
    params: Mapping[str, Any],
    tables: Mapping[str, Path],
    source: Any,
    seeds: Mapping[str, Any],
    device: str,
) -> dict[str, Any]:
    """Everything, for the working copy `root`.

    `tables` are the files that hold the data, `source` says where it is from, `device` is what the model was trained on.
    """
    return {
        "code": code(root),
        "data": {"source": redacted(source), "tables": {name: sums(path) for name, path in tables.items()}},
        "params": redacted(params),
        "seeds": dict(seeds),
        "lock": lock(root),
        "libraries": dict(libraries()),
        "platform": {**machine(), "device": device},
    }


def code(root: Path) -> dict[str, Any]:
    """The commit, and whether and how the working copy differs from it: changed paths, and one SHA-256 over their content.

    Without git, or outside a repository, `commit` is None and `note` says why.
    """
    try:
        inside = _git(root, "rev-parse", "--show-toplevel")
    except FileNotFoundError:
        return _no_commit("git is not installed")
    if inside.returncode:
        reason = (inside.stderr.strip().splitlines() or ["not a git working copy"])[0].removeprefix("fatal: ")
        return _no_commit(redacted(reason))
    head = _git(root, "rev-parse", "--verify", "--quiet", "HEAD").stdout.strip()
    remote = _git(root, "remote", "get-url", "origin").stdout.strip()
    changed = _changed(root, bool(head))
    return {
        "commit": head or None,
        "remote": redacted(remote) or None,
        "dirty": bool(changed),
        "changed": [name.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for name in changed],
        "difference_sha256": _content_sum(root, changed) if changed else None,
        "note": "" if head else "the repository has no commit yet",
    }


def sums(path: Path) -> dict[str, Any]:
    """SHA-256, MD5 (the name under which DVC keeps the file) and size."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as opened:
        while chunk := opened.read(1 << 20):
            sha256.update(chunk)
            md5.update(chunk)
    return {"sha256": sha256.hexdigest(), "md5": md5.hexdigest(), "bytes": path.stat().st_size}


def lock(root: Path) -> dict[str, Any]:
    """SHA-256 of requirements.lock; None when there is none."""
    path = root / "requirements.lock"
    return {"requirements.lock": hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None}


@functools.cache
def libraries() -> Mapping[str, str | None]:
    """Versions of Python and of the libraries that the numbers depend on; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def machine() -> dict[str, Any]:
    """The kind of machine, not its name: system, architecture, processor and accelerators."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "system": platform.system(),
        "release": platform.release(),
        "architecture": platform.machine(),
        "processor": processor(),
        "gpus": gpus,
        "cuda": torch.version.cuda if gpus else None,
        "threads": torch.get_num_threads(),
    }


def processor() -> str:
    """The model of the CPU, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def redacted(value: Any) -> Any:
    """The same value without credentials: user, password and secret query values of URLs, and what the environment keeps secret.

    The latter are the values of variables with such names (AWS_SECRET_ACCESS_KEY, EQUIPOISE_WEBHOOK), wherever they occur;
    but for words, and for paths of what is there.
    """
    return _redacted(value, _secrets_of_environment())


def _redacted(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, str):
        # Secrets first: of one that is an address itself, the address without its query would still say the path.
        for secret in secrets:
            value = value.replace(secret, "REDACTED")
        return _URL.sub(lambda found: _without_credentials(found[0]), value)
    if isinstance(value, Mapping):
        return {str(k): _redacted(v, secrets) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_redacted(v, secrets) for v in value]
    return value


def _secrets_of_environment() -> list[str]:
    """The longest first: one may be a part of another. Also as they look in an address."""
    values = {value for name, value in os.environ.items() if _is_secret(name) and _says_something(value)}
    return sorted(values | {quote(value, safe="") for value in values}, key=lambda value: (-len(value), value))


@functools.cache
def _is_secret(variable: str) -> bool:
    return _SECRET_VARIABLE.search(variable) is not None


def _says_something(value: str) -> bool:
    """Whether a value of such a variable is to be hidden: no word that stands in data as well, no path of a file with it."""
    if len(value) < SHORTEST_SECRET or _WORD.fullmatch(value):
        return False
    return not (os.sep in value and os.path.exists(value))


def _without_credentials(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:  # what cannot be taken apart cannot be cleaned
        return f"{url.partition('://')[0]}://REDACTED"
    query = parts.query
    if any(_SECRET.search(key) for key, _ in parse_qsl(query, keep_blank_values=True)):
        query = "&".join(
            f"{pair.partition('=')[0]}=REDACTED" if _SECRET.search(pair.partition("=")[0]) else pair
            for pair in query.split("&")
        )
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, parts.fragment))


def _no_commit(reason: str) -> dict[str, Any]:
    note = f"no commit is known ({reason}); the lock file and the libraries are all that is known of the code"
    return {"commit": None, "remote": None, "dirty": None, "changed": [], "difference_sha256": None, "note": note}


def _changed(root: Path, has_commit: bool) -> list[str]:
    """Paths of the code that differ from the commit or are not in it, sorted."""
    where = ("--", ".", *(f":(exclude){path}" for path in PRODUCTS))
    if has_commit:
        tracked = _git(root, "diff", "--name-only", "--no-renames", "--relative", "-z", "HEAD", *where).stdout
    else:
        tracked = _git(root, "ls-files", "-z", *where).stdout
    untracked = _git(root, "ls-files", "--others", "--exclude-standard", "-z", *where).stdout
    new = [path for path in untracked.split("\0") if path.endswith(SOURCE_SUFFIXES)]
    found = {*tracked.split("\0"), *new}
    return sorted(path for path in found if path and not OWN_PARAMETERS.fullmatch(path))


def _content_sum(root: Path, paths: Sequence[str]) -> str:
    """One SHA-256 over paths and contents; a deleted file, a link and a directory (a submodule) count as such."""
    total = hashlib.sha256()
    for name in paths:
        path = root / name
        if path.is_symlink():
            state = f"link {path.readlink()}"
        elif path.is_file():
            state = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            state = "directory" if path.is_dir() else "deleted"
        total.update(f"{name}\0{state}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What git says about the working copy, whatever repository a hook may be running for; FileNotFoundError without git."""
    return subprocess.run(
        ["git", "--no-optional-locks", "-C", str(root), *arguments],
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        env={k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k.startswith("GIT_CONFIG")},
        check=False,
    )
