"""Results of a benchmark: candidates measured in the same runs, or a table of figures; as JSON and as text."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from benchmarks.machine import this_machine
from models.errors import InputError, nearest
from tasks.stage import read_json, write_json

RESULTS = Path(__file__).parent / "results"

Cell = float | int | str | None


@dataclass(frozen=True)
class Row:
    """One candidate: a value per run, in the order of the runs.

    More is better for what is counted per second, less for all else, unless `better` says otherwise. `peer` is the
    candidate that it is held against, where it is not the table's. `ratio_at_least` (times better than the peer; above
    1 is better) and `at_most` (of the value) are what is promised of the medians.
    """

    label: str
    runs: Sequence[float]
    unit: str
    better: Literal["higher", "lower"] | None = None
    peer: str | None = None
    ratio_at_least: float | None = None
    at_most: float | None = None

    @property
    def more_is_better(self) -> bool:
        """The direction."""
        return self.better == "higher" if self.better else self.unit.endswith("/s")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Spread(_Frozen):
    """Of a value or a ratio over the runs."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """At least one value."""
        return Spread(median=statistics.median(values), low=min(values), high=max(values))


class Measured(_Frozen):
    """A row with what follows from it. `ratio` is how many times better than its peer it was, run by run."""

    label: str
    unit: str
    runs: tuple[float, ...]
    value: Spread
    peer: str | None
    ratio: Spread | None
    promised: str
    kept: bool | None


class _Result(_Frozen):
    name: str = Field(pattern=r"^[a-z0-9]+([-_][a-z0-9]+)*$")
    title: str
    command: str
    machine: str
    notes: tuple[str, ...] = ()


class Measurements(_Result):
    """Candidates that were measured in the same runs."""

    kind: Literal["measurements"] = "measurements"
    rows: tuple[Measured, ...] = Field(min_length=1)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and cells as text; columns that would be empty are left out."""
        header = ["", "median", "min … max", "against the peer", "promised", "kept"]
        body = [
            [
                row.label,
                f"{number(row.value.median)} {row.unit}".strip(),
                f"{number(row.value.low)} … {number(row.value.high)}" if len(row.runs) > 1 else "",
                f"{_ratio(row.ratio)} {row.peer}" if row.ratio else "",
                row.promised,
                {True: "yes", False: "no", None: ""}[row.kept],
            ]
            for row in self.rows
        ]
        used = [i for i in range(len(header)) if i < 2 or any(cells[i] for cells in body)]
        return [header[i] for i in used], [[cells[i] for i in used] for cells in body]

    def caption(self) -> str:
        """Where the figures come from."""
        runs = max(len(row.runs) for row in self.rows)
        return f"{f'Median of {runs} runs' if runs > 1 else 'One run'}, `{self.command}`, on {self.machine}."


class Figures(_Result):
    """A table of figures, say of quality beside published ones. A cell is a number (shown with `decimals`), text or nothing."""

    kind: Literal["figures"] = "figures"
    columns: tuple[str, ...] = Field(min_length=1)
    rows: tuple[tuple[Cell, ...], ...]
    decimals: int = 3

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and cells as text."""
        return list(self.columns), [[self._cell(cell) for cell in row] for row in self.rows]

    def caption(self) -> str:
        """Where the figures come from."""
        return f"`{self.command}`, on {self.machine}."

    def _cell(self, cell: Cell) -> str:
        if isinstance(cell, float):
            return f"{cell:.{self.decimals}f}"
        return "–" if cell is None else f"{cell:,}" if isinstance(cell, int) else cell


Result = Measurements | Figures
_ADAPTER: TypeAdapter[Result] = TypeAdapter(Annotated[Result, Field(discriminator="kind")])


def alternate(candidates: Mapping[str, Callable[[], float]], runs: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Call every candidate once per run, in turn, so that what else the machine does falls on all alike.

    Returns the value that each call gave, without the first `warm_up` runs.
    """
    values: dict[str, list[float]] = {label: [] for label in candidates}
    for run in range(warm_up + runs):
        for label, measure in candidates.items():
            value = measure()
            if run >= warm_up:
                values[label].append(float(value))
    return values


def publish(
    name: str,
    title: str,
    rows: Sequence[Row],
    peer: str | None = None,
    notes: Sequence[str] = (),
    command: str | None = None,
    folder: Path = RESULTS,
) -> Measurements:
    """Write results/<name>.json and print the table. Every row of the same unit is held against `peer`, if one is named.

    `command` is how to measure again; by default `python -m benchmarks.<name>`. Raises ValueError for a peer that was
    not measured in the same runs.
    """
    measured = tuple(_measured(row, {r.label: r for r in rows}, row.peer or _common(row, rows, peer)) for row in rows)
    result = Measurements(
        name=name,
        title=title,
        command=command or _command(name),
        machine=this_machine().line,
        notes=tuple(notes),
        rows=measured,
    )
    _write(result, folder)
    return result


def publish_figures(
    name: str,
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    notes: Sequence[str] = (),
    command: str | None = None,
    decimals: int = 3,
    folder: Path = RESULTS,
) -> Figures:
    """Write results/<name>.json and print the table, as it is given."""
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"the row {row} has {len(row)} cells for {len(columns)} columns")
    result = Figures(
        name=name, title=title, command=command or _command(name), machine=this_machine().line, notes=tuple(notes),
        columns=tuple(columns), rows=tuple(tuple(row) for row in rows), decimals=decimals,
    )  # fmt: skip
    _write(result, folder)
    return result


def read(path: Path) -> Result:
    """A result that was published; another file is an InputError."""
    try:
        return _ADAPTER.validate_python(read_json(path))
    except ValidationError as error:
        raise InputError(
            f"{path} is not a benchmark's result ({error.error_count()} problems). Run the benchmark again."
        ) from None


def as_text(result: Result) -> str:
    """A Markdown table with aligned columns, its caption and its notes: for the README and for a terminal alike."""
    header, body = result.table()
    rows = [[cell.replace("|", "\\|") for cell in row] for row in (header, *body)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    table = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    lines = [table[0], rule, *table[1:], "", result.caption()]
    return "\n".join([*lines, *([""] if result.notes else []), *(f"- {note}" for note in result.notes)])


def number(value: float) -> str:
    """Three significant digits, thousands apart: 195,000, 3.14, 0.0271."""
    rounded = float(f"{value:.3g}")
    if rounded == 0 or abs(rounded) >= 100:
        return f"{rounded:,.0f}"
    digits = max(0, 2 - int(f"{rounded:e}".partition("e")[2]))
    return f"{rounded:.{digits}f}"


def _measured(row: Row, known: Mapping[str, Row], peer: str | None) -> Measured:
    if peer is not None and peer not in known:
        raise ValueError(f"'{row.label}' names the peer '{peer}'. {nearest(peer, known)}")
    ratio = _ratios(row, known[peer]) if peer is not None else None
    kept = []
    if row.ratio_at_least is not None:
        if ratio is None:
            raise ValueError(f"'{row.label}' promises a ratio and has no peer")
        kept.append(ratio.median >= row.ratio_at_least)
    value = Spread.of(row.runs)
    if row.at_most is not None:
        kept.append(value.median <= row.at_most)
    return Measured(
        label=row.label, unit=row.unit, runs=tuple(row.runs), value=value, peer=peer, ratio=ratio, promised=_promise(row),
        kept=all(kept) if kept else None,
    )  # fmt: skip


def _common(row: Row, rows: Sequence[Row], peer: str | None) -> str | None:
    """The table's peer for a row that can be held against it; none for the peer itself and for what has another unit."""
    units = {r.label: r.unit for r in rows}
    return peer if peer != row.label and (peer not in units or units[peer] == row.unit) else None


def _ratios(row: Row, peer: Row) -> Spread:
    if len(row.runs) != len(peer.runs) or row.unit != peer.unit or row.more_is_better != peer.more_is_better:
        raise ValueError(f"'{row.label}' and '{peer.label}' were not measured in the same runs, in the same unit")
    pairs = zip(row.runs, peer.runs, strict=True)
    return Spread.of([mine / other if row.more_is_better else other / mine for mine, other in pairs])


def _promise(row: Row) -> str:
    parts = [f"at least {number(row.ratio_at_least)} ×"] if row.ratio_at_least is not None else []
    if row.at_most is not None:
        parts.append(f"at most {number(row.at_most)} {row.unit}".strip())
    return ", ".join(parts)


def _ratio(ratio: Spread) -> str:
    spread = f" ({number(ratio.low)} … {number(ratio.high)})" if ratio.low < ratio.high else ""
    return f"{number(ratio.median)} ×{spread}"


def _write(result: Result, folder: Path) -> None:
    write_json(folder / f"{result.name}.json", result.model_dump(mode="json"))
    print(f"{result.title}\n\n{as_text(result)}\n")
    print(f"Written to {folder.name}/{result.name}.json; `python -m benchmarks.readme` puts it into the README.")


def _command(name: str) -> str:
    return f"python -m benchmarks.{name}"
