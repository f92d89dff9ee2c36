"""Quality per minute: the product's search against tuned peers, the same splits and the same wall-clock for each.

Run it: `make bench-quality`, which takes a third of a minute per system and one seed; `python -m benchmarks.quality --minutes
10 --seeds 5` is the full setting. The product searches for most of its time, and refits what it has chosen in the rest.
Nobody sees a test row before it is judged. Data sets that are not in the mirror are left out, and it is said.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.encoded import mirror_has
from benchmarks.peers import PEERS, STRONGEST, Answer, Frame, Task, fits
from benchmarks.searched import Prepared, prepared
from benchmarks.table import Cell, publish_figures
from models.metrics.calibration import bin_sums, ece, ece_by_chance
from models.metrics.fairness import Evidence
from models.metrics.score import score_all
from models.metrics.scored import Scored
from models.predictor import Predictor
from models.preprocess import Preprocessor
from tasks import train
from tasks.parts import PARTS, read_rows, read_schema, rows_of
from tasks.scoring import attribute_ids

OURS = "**Equipoise**"
DATA: Mapping[str, tuple[str, ...]] = {
    "adult": (), "acsincome": ("data.rows=100000",), "mammography": (), "compas": (), "abalone-rare": (),
}  # fmt: skip
ECE = 0.03
WITHIN = 0.005
"""How much average precision may be lost against the strongest peer."""
SEARCHING = 0.7
"""The share of the time that the search has; the rest is for the refits, Ray and reading the rows."""
EPOCHS, ITERATIONS, BINS = 30, 400, 15
METRICS = ("balanced_accuracy", "average_precision", "log_loss", "ece", "worst_group_accuracy")
NEED_PROBABILITIES = ("average_precision", "log_loss", "ece")


@dataclass
class Judged:
    """One system on one data set: a value per seed of each metric, the seconds, and its answers for all test rows."""

    metrics: dict[str, list[float | None]] = field(default_factory=lambda: {name: [] for name in METRICS})
    seconds: list[float] = field(default_factory=list)
    scored: list[Scored] = field(default_factory=list)

    def mean(self, metric: str) -> float | None:
        """Over the seeds; None where one has no value."""
        values = [v for v in self.metrics[metric] if v is not None]
        return fmean(values) if values and len(values) == len(self.metrics[metric]) else None

    @property
    def calibration(self) -> float | None:
        """The calibration error over the test rows of all seeds together, without what chance makes of so few rows."""
        if not self.scored:
            return None
        whole = Scored.of(
            np.concatenate([s.labels for s in self.scored]), np.concatenate([s.decisions for s in self.scored]),
            np.concatenate([s.probabilities for s in self.scored]),
        )  # fmt: skip
        found = float(ece(bin_sums(whole, BINS))[0])
        return float(np.sqrt(max(0.0, found**2 - ece_by_chance(whole, BINS) ** 2)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Every system on every data set and seed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality")
    parser.add_argument("--minutes", type=float, default=0.35, help="wall-clock per system, data set and seed")
    parser.add_argument("--seeds", type=int, default=1, help="splits and trainings")
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(DATA))
    parser.add_argument("--systems", nargs="+", default=["ours", *PEERS], choices=["ours", *PEERS])
    given = parser.parse_args(arguments)
    logging.getLogger("equipoise").setLevel(logging.WARNING)
    # What a peer's library says of another in every process of its own would bury the results.
    os.environ.setdefault("PYTHONWARNINGS", "ignore::UserWarning:sklearn.utils.parallel")
    names = [name for name in given.data if mirror_has(name)]
    if len(names) < len(given.data):
        print("left out, as they are not in the mirror: " + ", ".join(n for n in given.data if n not in names))
    if not names:
        raise SystemExit("None of the data sets is there. Set EQUIPOISE_MIRROR.")
    found: dict[str, dict[str, Judged]] = {}
    for name in names:
        found[name] = {}
        for seed in range(given.seeds):
            for system, judged in _measured(name, seed, given.minutes, given.systems, found[name]):
                print(f"{name}, seed {seed}, {system}: {_line(judged)}", flush=True)
    setting = f"{given.minutes:g} {'minute' if given.minutes == 1 else 'minutes'} per system, {given.seeds} {'seed' if given.seeds == 1 else 'seeds'}"
    command = f"python -m benchmarks.quality --minutes {given.minutes:g} --seeds {given.seeds}"
    _publish(found, setting, command)


def _measured(
    name: str, seed: int, minutes: float, systems: Sequence[str], found: dict[str, Judged]
) -> list[tuple[str, Judged]]:
    """All systems on one split, one after the other, each with both cores to itself."""
    answered = []
    with prepared(name, f"seed={seed}", *settings(minutes), *DATA[name]) as ready:
        rows, schema = read_rows(ready.root / "data/ingest"), read_schema(ready.root / "data/ingest")
        parts: dict[str, pd.DataFrame] = {part: rows_of(rows, ready.root / "data/split", part) for part in PARTS}
        preprocessor = Preprocessor.fit(parts["train"], schema, True)
        groups = attribute_ids(preprocessor.encode(parts["test"]), schema)
        learn, test = (Frame.of(parts[part], schema, True) for part in ("train", "test"))
        choose = Frame.of(pd.concat([parts["valid"], parts["calib"]], ignore_index=True), schema, True)
        task = Task(learn, choose, len(schema.target.classes), 60 * minutes, seed)
        for system in systems:
            label = OURS if system == "ours" else system
            if system != "ours" and not fits(system, task):
                continue
            began = time.monotonic()
            answer = ours(ready, parts["test"]) if system == "ours" else PEERS[system](task)(test)
            judged = found.setdefault(label, Judged())
            judged.seconds.append(time.monotonic() - began)
            _judge(judged, answer, test.labels, groups, task.classes)
            answered.append((label, judged))
    return answered


def settings(minutes: float) -> tuple[str, ...]:
    """The product as a user sets it up for a search by the clock."""
    return (
        "model.sensitive_features=true", "model.ensemble=true", f"model.epochs={EPOCHS}", f"model.iterations={ITERATIONS}",
        "search.maximize=balanced_accuracy", f"search.subject_to={{ece: {ECE}}}",
        f"search.budget={{minutes: {SEARCHING * minutes:.4g}}}",
    )  # fmt: skip


def ours(ready: Prepared, test: pd.DataFrame) -> Answer:
    """The search stage, the refit, and what the predictor that would be registered says of the test rows."""
    ready.search()
    train.STAGE.execute(ready.params, ready.root)
    return Answer(*Predictor.load(ready.root / "data/train/predictor").predict(test))


def _judge(judged: Judged, answer: Answer, labels: Any, groups: Mapping[str, Any], classes: int) -> None:
    probabilities = np.eye(classes)[answer.decisions] if answer.probabilities is None else answer.probabilities
    metrics = score_all(labels, answer.decisions, probabilities, groups, bins=BINS, evidence=Evidence(50, 10))
    for metric, values in judged.metrics.items():
        known = answer.probabilities is not None or metric not in NEED_PROBABILITIES
        values.append(metrics[metric] if known else None)
    if answer.probabilities is not None:
        judged.scored.append(Scored.of(labels, answer.decisions, probabilities))


def _line(judged: Judged) -> str:
    values = {name: values[-1] for name, values in judged.metrics.items()}
    return ", ".join([*(f"{k} {v:.4f}" for k, v in values.items() if v is not None), f"{judged.seconds[-1]:.0f} s"])


def _publish(found: Mapping[str, Mapping[str, Judged]], setting: str, command: str) -> None:
    rows: list[list[Cell]] = []
    for name, systems in found.items():
        for system, judged in systems.items():
            spread = [v for v in judged.metrics["balanced_accuracy"] if v is not None]
            rows.append([
                name, system, _number(judged.mean("balanced_accuracy")), f"{min(spread):.3f} … {max(spread):.3f}",
                *(_number(judged.mean(m)) for m in METRICS[1:]), _number(judged.calibration), f"{fmean(judged.seconds):.0f}",
            ])  # fmt: skip
    columns = ["data", "system", "balanced accuracy", "min … max", "average precision", "log loss", "ECE", "worst group",
               "ECE, all seeds", "seconds"]  # fmt: skip
    notes = [
        "Means over the seeds, on test rows. Worst group: of all sensitive attributes, groups of at least 50 rows.",
        "ECE, all seeds: over the test rows of all seeds together, less what chance makes of a calibrated model's.",
    ]
    publish_figures("quality", f"Quality per minute: {setting}", columns, rows, notes, command)
    summary, kept = _ranks(found)
    publish_figures(
        "quality_ranks", f"Quality per minute, ranks: {setting}",
        ["system", "mean rank, balanced accuracy", f"mean rank among those with ECE ≤ {ECE:g}", "ECE kept on",
         f"most average precision lost to {STRONGEST}"],
        summary, [*notes[1:], *kept], command, decimals=2,
    )  # fmt: skip


def _ranks(found: Mapping[str, Mapping[str, Judged]]) -> tuple[list[list[Cell]], list[str]]:
    """Ranks of the mean balanced accuracy over the data sets, 1 is best, and whether what was promised was kept."""
    systems = list(dict.fromkeys(s for by_system in found.values() for s in by_system))
    plain = {s: _rank(found, s, limited=False) for s in systems}
    limited = {s: _rank(found, s, limited=True) for s in systems}
    lost = {s: _lost(found, s) for s in systems}
    rows: list[list[Cell]] = []
    for s in sorted(systems, key=lambda s: limited[s]):
        calibrated = [_calibrated(by_system[s]) for by_system in found.values() if s in by_system]
        share = None if lost[s] is None else f"{lost[s]:+.4f}"
        rows.append([s, plain[s], limited[s], f"{sum(calibrated)} of {len(calibrated)}", share])
    if OURS not in systems or len(systems) == 1:
        return rows, []
    first = limited[OURS] <= min(limited[s] for s in systems if s != OURS)
    said = [f"First on balanced accuracy subject to ECE ≤ {ECE:g}: {'reached' if first else 'not reached'}."]
    if lost[OURS] is not None:
        said.append(
            f"Average precision within {WITHIN:g} of {STRONGEST} everywhere: {'reached' if lost[OURS] <= WITHIN else 'not reached'}."
        )
    said.append(
        "Where a system breaks the limit, it shares the last rank; where it does not fit the data, it is not ranked."
    )
    return rows, said


def _calibrated(judged: Judged) -> bool:
    return judged.calibration is not None and judged.calibration <= ECE


def _rank(found: Mapping[str, Mapping[str, Judged]], system: str, limited: bool) -> float:
    """The mean over the data sets that the system fits."""
    ranks = []
    for by_system in found.values():
        if system not in by_system:
            continue
        values = {
            s: (j.mean("balanced_accuracy") or 0.0) if not limited or _calibrated(j) else -1.0
            for s, j in by_system.items()
        }
        last = limited and values[system] < 0
        ranks.append(len(values) if last else 1 + sum(v > values[system] for v in values.values()))
    return fmean(ranks)


def _lost(found: Mapping[str, Mapping[str, Judged]], system: str) -> float | None:
    """The most average precision lost to the strongest peer on a data set."""
    pairs = [
        (by_system[STRONGEST].mean("average_precision"), by_system[system].mean("average_precision"))
        for by_system in found.values()
        if system in by_system and STRONGEST in by_system
    ]
    known = [peer - own for peer, own in pairs if peer is not None and own is not None]
    return max(known) if known else None


def _number(value: float | None) -> Cell:
    return None if value is None else float(value)


if __name__ == "__main__":
    main()
