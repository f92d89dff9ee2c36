"""`equipoise doctor`: whether everything that a run needs is there, and what to do where it is not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from models.errors import EquipoiseError, InputError
from tasks.overrides import FILE
from tasks.params import AUTO, Params, check_recipes, load_params

State = Literal["fine", "note", "broken"]
MARKS: dict[State, str] = {"fine": "[green]✓[/green]", "note": "[yellow]![/yellow]", "broken": "[red]✗[/red]"}
SCARCE_BYTES = 5e9
TOO_FEW_BYTES = 5e8
SERVER_SECONDS = 5


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what was found, and what to do unless it is fine."""

    about: str
    state: State
    found: str
    mend: str = ""


Check = Callable[[Path], Iterator[Finding]]


def examine(root: Path) -> list[Finding]:
    """Everything there is to say of the working copy `root` and the machine. Changes nothing but a probe it removes."""
    checks: tuple[Check, ...] = (_python, _packages, _device, _git, _dvc, _params, _registry, _disk, _prefect)
    return [finding for check in checks for finding in check(root)]


def show_findings(findings: list[Finding]) -> None:
    """One line per finding, and what to do below those that need it."""
    from rich.markup import escape

    from flows.listing import wide_console

    console = wide_console()
    for finding in findings:
        console.print(f"{MARKS[finding.state]} {finding.about:<13} {escape(finding.found)}", soft_wrap=True)
        if finding.mend:
            console.print(f"  {'':<13} [bold]{escape(finding.mend)}[/bold]", soft_wrap=True)
    broken = sum(f.state == "broken" for f in findings)
    console.print(f"\n{broken} to mend." if broken else "\nReady: equipoise run")


def _python(_root: Path) -> Iterator[Finding]:
    yield Finding("python", "fine", ".".join(map(str, sys.version_info[:3])))


def _packages(root: Path) -> Iterator[Finding]:
    lock = root / "requirements.lock"
    if not lock.exists():
        yield Finding("packages", "note", "no requirements.lock here to compare with", "Run in the clone.")
        return
    wanted = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;+]+)", lock.read_text(encoding="utf-8"), re.MULTILINE))
    missing, other = [], []
    for name, version in wanted.items():
        try:
            found = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if found != version:
            other.append(f"{name} {found} (locked: {version})")
    if missing:
        yield Finding("packages", "broken", f"not installed: {_some(missing)}", "Install what is locked: make setup")
    if other:
        yield Finding(
            "packages",
            "note",
            f"other versions than locked: {_some(other)}",
            "Install what is locked: make clean setup",
        )
    if not missing and not other:
        yield Finding("packages", "fine", f"all {len(wanted)} as locked")


def _device(_root: Path) -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding(
            "device", "broken", f"torch cannot be imported ({error})", "Install what is locked: make clean setup"
        )
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = f"{cores} CPU cores, torch {torch.__version__}"
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        found += f"; {torch.cuda.device_count()} x {card.name}, {card.total_memory / 2**30:.0f} GiB"
    elif (
        shutil.which("nvidia-smi")
        and subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False).returncode == 0
    ):
        yield Finding(
            "device",
            "note",
            f"{found}; the GPU is not usable by this build of torch",
            "make clean setup, without PIP_FIND_LINKS",
        )
        return
    yield Finding("device", "fine", found)


def _git(root: Path) -> Iterator[Finding]:
    if shutil.which("git") is None:
        yield Finding("git", "broken", "not installed", "Install git: DVC and the record of a version need it.")
        return
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True, check=False
    )
    if head.returncode:
        yield Finding(
            "git", "broken", f"no commit in {root}", "Clone the project, or: git init && git add -A && git commit"
        )
        return
    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    state = f", {len(changed)} files not committed" if changed else ""
    yield Finding("git", "fine", f"at {head.stdout.strip()}{state}")


def _dvc(root: Path) -> Iterator[Finding]:
    from flows.ledger import Ledger

    try:
        ledger = Ledger(root)
        due = ledger.outdated()
    except EquipoiseError as error:
        yield Finding(
            "dvc",
            "broken",
            str(error),
            "In a clone of the project .dvc/ and dvc.yaml are there: git checkout -- .dvc dvc.yaml",
        )
        return
    cache = ledger.cache
    cache.mkdir(parents=True, exist_ok=True)
    if not os.access(cache, os.W_OK):
        yield Finding(
            "dvc", "broken", f"its cache {cache} is not writable", "Correct its permissions, or: dvc cache dir PATH"
        )
        return
    remote = ledger.remote
    yield Finding(
        "dvc",
        "fine",
        f"{len(due)} of its stages due; {'remote ' + remote if remote else 'no remote, so nothing is shared'}",
    )


def _params(root: Path) -> Iterator[Finding]:
    try:
        params = load_params(root / FILE)
        check_recipes(params)
    except InputError as error:
        yield Finding(
            "params.yaml", "broken", str(error), "Correct it; equipoise params check says whether it is right."
        )
        return
    named = params.search.recipes
    recipes = "recipes picked by the data" if named == AUTO else f"{len(named)} recipes"
    yield Finding(
        "params.yaml",
        "fine",
        f"{params.data.label}, {recipes}, {len(params.gates.rules)} rules",
    )


def _registry(root: Path) -> Iterator[Finding]:
    from tasks.registry import open_registry

    params = _valid_params(root)
    if params is None:
        return
    url = params.registry.url
    try:
        registry = open_registry(url, root)
        registry.probe()
        yield Finding("registry", "fine", f"{url}, {len(registry.names())} models")
    except EquipoiseError as error:
        yield Finding("registry", "broken", str(error), "Correct its permissions, or set registry.url in params.yaml.")


def _valid_params(root: Path) -> Params | None:
    try:
        return load_params(root / FILE)
    except InputError:
        return None


def _disk(root: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(root).free
    found = f"{free / 1e9:.1f} GB free"
    if free < TOO_FEW_BYTES:
        yield Finding("disk", "broken", found, "Make room: dvc gc --workspace removes what no present stage needs.")
    elif free < SCARCE_BYTES:
        yield Finding(
            "disk", "note", found, "Large data may not fit: dvc gc --workspace removes what no present stage needs."
        )
    else:
        yield Finding("disk", "fine", found)


def _prefect(_root: Path) -> Iterator[Finding]:
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url is None:
        home = settings.home
        home.mkdir(parents=True, exist_ok=True)
        if not os.access(home, os.W_OK):
            yield Finding("prefect", "broken", f"{home} is not writable", "Set PREFECT_HOME to a folder that is.")
        else:
            yield Finding("prefect", "fine", f"a server of its own for each run, kept in {home}")
        return
    import urllib.error
    import urllib.request

    url = settings.api.url.rstrip("/")
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=SERVER_SECONDS):
            yield Finding("prefect", "fine", f"server at {url}")
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        yield Finding(
            "prefect",
            "broken",
            f"no server at {url} ({error})",
            "Start it: prefect server start; or run without one: unset PREFECT_API_URL",
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
