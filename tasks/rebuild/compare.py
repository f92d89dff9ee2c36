"""A version beside its rebuild: which files are the same bit for bit, how far the figures are apart, and what may explain it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.identity import libraries, lock, machine, sums
from tasks.rebuild.record import Record
from tasks.stage import read_json

TABLES = {"rows.parquet": "data/ingest/rows.parquet", "split.parquet": "data/split/split.parquet"}
DOCUMENTS = {
    "schema.json": "data/ingest/schema.json",
    "trials.json": "data/tune/trials.json",
    "choice.json": "data/tune/choice.json",
    "train.json": "data/train/summary.json",
    "evaluation.json": "data/evaluate/evaluation.json",
    "metrics.json": "data/evaluate/metrics.json",
    "audit.json": "data/audit/audit.json",
}
PREDICTOR = "predictor"
PLATFORM = ("system", "architecture", "processor", "gpus", "cuda", "device")


@dataclass(frozen=True)
class Same:
    """One file: whether it came out the same, bit for bit."""

    file: str
    same: bool
    recorded: str
    rebuilt: str | None


@dataclass(frozen=True)
class Figure:
    """One metric of the test rows, then and now."""

    metric: str
    recorded: float | None
    rebuilt: float | None
    difference: float | None


@dataclass(frozen=True)
class Comparison:
    """`identical`: every file is. `elsewhere` says what is not as it was: platform and libraries, name -> (then, now)."""

    files: tuple[Same, ...]
    figures: tuple[Figure, ...]
    elsewhere: dict[str, tuple[Any, Any]]
    tolerance: float

    @property
    def identical(self) -> bool:
        """Bit for bit."""
        return all(one.same for one in self.files)

    @property
    def within_tolerance(self) -> bool:
        """The data are the same, and every figure is there and near enough."""
        tables = all(one.same for one in self.files if one.file in TABLES)
        return tables and all(
            f.difference <= self.tolerance if f.difference is not None else f.recorded == f.rebuilt
            for f in self.figures
        )

    @property
    def same(self) -> bool:
        """Identical; or, on another platform or with other libraries, within the tolerance."""
        return self.identical or (bool(self.elsewhere) and self.within_tolerance)

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "same": self.same,
            "identical": self.identical,
            "tolerance": self.tolerance,
            "elsewhere": {name: {"recorded": then, "now": now} for name, (then, now) in self.elsewhere.items()},
            "files": [asdict(one) for one in self.files],
            "metrics": [asdict(one) for one in self.figures],
        }


def compare(record: Record, root: Path, tolerance: float, left_out: frozenset[str]) -> Comparison:
    """The version against what the clone `root` made; `left_out` are documents that were taken over, not made."""
    files = [
        _same(name, str(entry["sha256"]), root / TABLES[name])
        for name, entry in record.tables.items()
        if name in TABLES
    ]
    entries = record.loaded.manifest.files
    for path, entry in sorted(entries.items()):
        made = DOCUMENTS.get(path) or (f"data/train/{path}" if path.startswith(f"{PREDICTOR}/") else None)
        if made is not None and path not in left_out:
            files.append(_same(path, entry.sha256, root / made))
    added = {
        p.relative_to(root / "data/train").as_posix()
        for p in (root / "data/train" / PREDICTOR).rglob("*")
        if p.is_file()
    }
    files += [Same(path, False, "", None) for path in sorted(added - set(entries))]
    return Comparison(tuple(files), _figures(record, root), elsewhere(record, root), tolerance)


def elsewhere(record: Record, root: Path) -> dict[str, tuple[Any, Any]]:
    """What about the machine and the libraries is not as it was when the version was made."""
    then, now = record.identity["platform"], {**machine(), "device": record.identity["platform"].get("device")}
    found = {f"platform: {name}": (then.get(name), now.get(name)) for name in PLATFORM}
    found |= {name: (version, libraries().get(name)) for name, version in record.identity["libraries"].items()}
    found |= {name: (sum_, lock(root).get(name)) for name, sum_ in (record.identity.get("lock") or {}).items()}
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


def _same(file: str, recorded: str, path: Path) -> Same:
    rebuilt = str(sums(path)["sha256"]) if path.is_file() else None
    return Same(file, rebuilt == recorded, recorded, rebuilt)


def _figures(record: Record, root: Path) -> tuple[Figure, ...]:
    path = root / DOCUMENTS["metrics.json"]
    then: Mapping[str, float | None] = record.document("metrics")
    now: Mapping[str, float | None] = read_json(path) if path.is_file() else {}
    found = []
    for metric in sorted({*then, *now}):
        before, after = then.get(metric), now.get(metric)
        apart = abs(after - before) if before is not None and after is not None else None
        found.append(Figure(metric, before, after, apart))
    return tuple(found)
