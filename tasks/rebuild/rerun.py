"""A version made again: fresh clone, recorded parameters and data, every stage up to the judging, and what came of it."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import EquipoiseError, InputError
from tasks.identity import redacted, sums
from tasks.params import read_yaml
from tasks.rebuild.checkout import check_out, write_params
from tasks.rebuild.compare import TABLES, Comparison, compare
from tasks.rebuild.record import Record, read_record
from tasks.rebuild.tables import restore
from tasks.registry import CorruptError, Registry
from tasks.remote import VARIABLE as REMOTE_VARIABLE
from tasks.sources.download import is_remote
from tasks.sources.files import DOWNLOADS, MIRROR_VARIABLE

log = logging.getLogger("equipoise")

TOLERANCE = 0.01
INGESTED = "data/ingest"
SEARCHED = "data/tune"
STARTED = "data/start"
LINES_OF_A_FAILURE = 15


@dataclass(frozen=True)
class Rebuilt:
    """What came of it, and where the data came from."""

    comparison: Comparison
    data: str
    refit: bool


@dataclass(frozen=True)
class Wanted:
    """What is asked for: from which repository, whether its uncommitted changes may run, whether to skip the search.

    `registry` has the versions that it may have learned from.
    """

    root: Path
    repository: str | None = None
    with_changes: bool = False
    refit: bool = False
    tolerance: float = TOLERANCE
    keep: Path | None = None
    registry: Registry | None = None


def rebuild(record: Record, wanted: Wanted) -> Rebuilt:
    """Make the version again in a temporary directory; neither the working copy nor the registry is touched.

    Raises InputError for a version that cannot be rebuilt (no commit, changes that are not kept, data that are gone),
    EquipoiseError for a stage that fails now.
    """
    if wanted.keep is not None and wanted.keep.exists():
        raise InputError(f"--keep: {wanted.keep} is there already. Name a directory that is not.")
    with tempfile.TemporaryDirectory(prefix="equipoise-rebuild-") as folder:
        root = Path(folder) / "clone"
        check_out(record, wanted.repository or str(wanted.root), root, wanted.with_changes)
        params = write_params(record, root)
        refit = wanted.refit or _by_the_clock(params)
        data = _bring_data(record, wanted.root, root, params)
        stages = _stages(root)
        if data == "its source":
            _run("ingest", root, wanted.root)
            _check_rows(record, root)
        stages.remove("ingest")
        _bring_start(record, wanted, root)
        if refit:
            _take_over_search(record, root)
            stages.remove("tune")
        for stage in stages:
            _run(stage, root, wanted.root)
        comparison = compare(
            record, root, wanted.tolerance, frozenset({"trials.json", "choice.json"}) if refit else frozenset()
        )
        if wanted.keep is not None:
            shutil.copytree(root, wanted.keep, symlinks=True)
    return Rebuilt(comparison, data, refit)


def _by_the_clock(params: Mapping[str, Any]) -> bool:
    """Whether the search was limited by the clock: then it would not come out the same, and only its choice is refitted."""
    search = params.get("search") or {}
    budget = search.get("budget") or {}
    limited = (search.get("minutes"), budget.get("minutes") if isinstance(budget, Mapping) else None)
    if any(value is not None for value in limited):
        log.info("the search was limited by the clock, so its recorded choice is refitted instead of searching again")
        return True
    return False


def _bring_data(record: Record, source: Path, root: Path, params: dict[str, Any]) -> str:
    """Put the recorded data into the clone, or prepare it to read its source again. Says which."""
    name = record.outputs.get(INGESTED)
    if name is not None:
        found = restore(source, name, root / INGESTED)
        if found is not None:
            _check_rows(record, root)
            return found
        shutil.rmtree(root / INGESTED, ignore_errors=True)
    log.info("the recorded data are neither in DVC's cache nor in its remote; they are read from their source again")
    path = (params.get("data") or {}).get("path")
    if path and not is_remote(path) and not Path(path).expanduser().is_absolute():
        write_params(record, root, {"data": {**params["data"], "path": str((source / path).absolute())}})
    downloads = source / DOWNLOADS
    for file in downloads.rglob("*") if downloads.is_dir() else ():
        if file.is_file() and not file.name.startswith("."):
            link = root / DOWNLOADS / file.relative_to(downloads)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file.absolute())
    return "its source"


def _bring_start(record: Record, wanted: Wanted, root: Path) -> None:
    """Put what the version learned from into the clone: the very version that it names, not what an alias points to now.

    One that did not know what it could learn from has nothing to bring. The clone has the rows by then.
    """
    note = record.document("start")
    if not note:
        return
    folder = root / STARTED
    name = record.outputs.get(STARTED)
    if name is not None and restore(wanted.root, name, folder) is not None:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(record.directory / "start.json", folder / "start.json")
    if note["version"] is None:
        return
    older = f"{note['name']}@{note['version']}"
    if wanted.registry is None:
        raise InputError(f"{record.reference} learned from {older}, which is not with DVC any more.")
    from tasks.start import copy  # torch comes with it

    loaded = wanted.registry.load(str(note["name"]), str(note["version"]))
    if loaded.manifest.digest != note["digest"]:
        raise CorruptError(
            f"{record.reference} learned from {older}, and what the registry has under that name is another."
        )
    copy(loaded, folder)
    _bring_memory(record, wanted, root, older)


def _bring_memory(record: Record, wanted: Wanted, root: Path, older: str) -> None:
    """Draw what was remembered of the older version's rows once more, and hold it against what was recorded."""
    recorded = record.document("start").get("memory") or {"rows": 0}
    if not recorded["rows"] or wanted.registry is None:
        return
    from tasks.memory import Today
    from tasks.parts import read_rows, read_schema
    from tasks.start import keep

    params, folder = record.document("params"), root / INGESTED
    today = Today(read_rows(folder), read_schema(folder))
    settings = int(params["retrain"]["memory"]), int(params["seed"])
    found = keep(read_record(wanted.registry, older), wanted.root, today, settings, root / STARTED)
    if found["digest"] != recorded["digest"]:
        why = found["why"] or "what can be drawn now are other rows"
        raise InputError(
            f"{record.reference} could rehearse {recorded['rows']:,} rows that {older} learned, and they cannot be brought back: {why}."
        )


def _check_rows(record: Record, root: Path) -> None:
    """The rows are those that the version was made from; anything else would not be the same version."""
    recorded = record.tables["rows.parquet"]["sha256"]
    found = sums(root / TABLES["rows.parquet"])["sha256"]
    if found != recorded:
        raise InputError(
            f"{record.reference} was made from other rows (rows.parquet {str(recorded)[:12]}…) than its source gives now "
            f"({found[:12]}…), and DVC has them neither in its cache nor in a remote. Fetch them first: dvc pull, or bring the "
            "source back."
        )


def _take_over_search(record: Record, root: Path) -> None:
    folder = root / SEARCHED
    folder.mkdir(parents=True)
    for name in ("trials.json", "choice.json"):
        source = record.directory / name
        if not source.is_file():
            raise InputError(f"{record.reference} has no {name}, so its choice cannot be refitted.")
        shutil.copy(source, folder / name)


def _stages(root: Path) -> list[str]:
    """The clone's own stages in their order, without those that look at the registry: they judge and register."""
    stages: Mapping[str, Any] = read_yaml(root / "dvc.yaml")["stages"]
    names = [name for name, stage in stages.items() if "registry" not in (stage.get("params") or ())]
    if not all(name.isidentifier() for name in names):
        raise CorruptError(f"{root / 'dvc.yaml'} names stages that are none: {names}. Nothing was run.")
    return names


def _run(stage: str, root: Path, source: Path) -> None:
    """One stage in a process of its own, which sees the clone's code and nothing of the working copy's."""
    log.info("rebuilding: %s", stage)
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop(REMOTE_VARIABLE, None)  # it is made again, not brought from where it is finished
    if mirror := environment.get(MIRROR_VARIABLE):
        environment[MIRROR_VARIABLE] = str((source / mirror).absolute())
    process = subprocess.Popen(
        [sys.executable, "-m", f"tasks.{stage}"], cwd=root, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
    )  # fmt: skip
    last: deque[str] = deque(maxlen=LINES_OF_A_FAILURE)
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            last.append(redacted(line.rstrip("\n")))
            log.debug("%s", last[-1])
    if process.returncode:
        raise EquipoiseError(
            f"the stage '{stage}' fails now (exit code {process.returncode}), with these last lines:\n  "
            + "\n  ".join(last)
        )
