"""Does every method do what its paper says? On a small problem made for its claim, against the same training without it.

python -m benchmarks.claims           all methods
python -m benchmarks.claims NAME …    these methods, whose rows of the result are written anew
python -m benchmarks.claims --page    only write docs/claims.md from the result
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from benchmarks.effects import Effect, Terms, effect
from benchmarks.table import RESULTS, Cell, Figures, publish_figures, read
from models.balancing.base import Component
from models.balancing.claim import LESS_IS_BETTER, PROBLEMS, claim_of
from models.balancing.discovery import catalogue, component
from models.errors import EquipoiseError
from tasks.stage import replacing

NAME = "claims"
PAGE = Path(__file__).parents[1] / "docs" / "claims.md"
COLUMNS = (
    "method",
    "slot",
    "claim",
    "problem",
    "figure",
    "without",
    "with",
    "gain",
    "low",
    "high",
    "holds",
    "with values",
    "draws",
)
TITLE = "What each method does on a small problem made for its claim"
NOTES = (
    "Five draws of the rows and of the net; gain is the mean improvement over them, with its 95% interval from the paired "
    "differences (Student's t). Positive is better, also of figures of which less is better. A claim holds where the whole "
    "interval is above 0; of a part that does nothing by itself, where nothing changes. Where the lower end of the interval lies "
    "within 0.0025 of 0, on whichever side, five further draws are made, once, and the line is of all ten. "
    "That rule was set when the first five had been seen, and they count among the ten: of claims near 0 that are not true, slightly "
    "more than one in forty would hold.",
    "The method with its defaults and three draws from its searched space, one of which is chosen on validation rows for all "
    "draws together; the figures are of 6,000 fresh rows. Training without it has nothing of its own to choose.",
    "A claim that does not hold here may hold where its paper shows it: these are small nets on few rows.",
)


def cells(found: Effect) -> tuple[Cell, ...]:
    """One line of the table."""
    low, high = found.interval
    values = ", ".join(f"{key.rpartition('.')[2]} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
                       for key, value in found.values.items())  # fmt: skip
    return (
        found.method, found.slot, found.claim.text, found.claim.problem, found.claim.measure,
        statistics.mean(found.without), statistics.mean(found.with_it), float(found.gains.mean()), low, high,
        "holds" if found.holds else "does not hold", values or "defaults", len(found.gains),
    )  # fmt: skip


def failed(method: type[Component], reason: str) -> tuple[Cell, ...]:
    """The line of a method that cannot be measured here."""
    return (method.name, method.slot, "", "", "", None, None, None, None, None, "not measured", reason, None)


def measured(methods: Sequence[type[Component]], terms: Terms) -> dict[str, tuple[Cell, ...]]:
    """The line of each method, printed as it comes."""
    lines = {}
    for method in methods:
        try:
            line = cells(effect(method, terms))
        except EquipoiseError as error:
            line = failed(method, str(error))
        lines[method.name] = line
        told = f"{line[7]:+.3f} [{line[8]:+.3f}, {line[9]:+.3f}] {line[4]}" if line[7] is not None else str(line[-2])
        print(f"{method.name:34} {line[10]:14} {told}", flush=True)
    return lines


def page(result: Figures) -> str:
    """The result as Markdown: a table for each problem."""
    lines = [
        "# What the methods do",
        "",
        "Written by `python -m benchmarks.claims --page` from `benchmarks/results/claims.json`; do not edit it. "
        "`make bench-claims` measures all methods, `python -m benchmarks.claims NAME` one.",
        "",
        *[f"- {note}" for note in NOTES],
        "",
        _summary(result),
    ]
    for problem, about in PROBLEMS.items():
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in result.rows if row[3] == problem]
        if rows:
            lines += ["", f"## `{problem}`: {about}", "", "| method | claim | figure | without | with | gain | claim |",
                      "|---|---|---|---|---|---|---|"]  # fmt: skip
            lines += [_line(row) for row in rows]
            remarks = [f"- `{row['method']}`: {remark}." for row in rows if (remark := _remark(row))]
            lines += ["", *remarks] if remarks else []
    rest = [dict(zip(COLUMNS, row, strict=True)) for row in result.rows if row[10] == "not measured"]
    if rest:
        lines += ["", "## Not measured", ""]
        lines += [f"- `{row['method']}`: {row['with values']}" for row in rest]
    return "\n".join([*lines, "", f"Measured on {result.machine}."]) + "\n"


def _summary(result: Figures) -> str:
    verdicts = [str(row[10]) for row in result.rows]
    found = len(verdicts) - verdicts.count("not measured")
    owed = len(catalogue()) - found
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in result.rows]
    near = [row["method"] for row in rows if row["draws"] == len(Terms().seeds) and _near(row)]
    return (
        f"{verdicts.count('holds')} of the {found} claims that were measured hold"
        + (f"; {owed} methods are not measured here yet" if owed else "")
        + "."
        + (f" Near 0, and measured with five draws so far: {', '.join(f'`{name}`' for name in near)}." if near else "")
    )


def _near(row: Mapping[str, Cell]) -> bool:
    """Whether the lower end of the interval lies so near 0 that further draws are due."""
    low, part = row["low"], claim_of(component(str(row["method"]))).changes_nothing
    return isinstance(low, float) and not part and abs(low) <= Terms().near


def _remark(row: Mapping[str, Cell]) -> str:
    """What is to be said of a claim: why it does not hold, where that is known, or whose it is."""
    return claim_of(component(str(row["method"]))).remark


def _line(row: Mapping[str, Cell]) -> str:
    less = "less is better" if row["figure"] in LESS_IS_BETTER else ""
    figure = f"{row['figure']}{f' ({less})' if less else ''}"
    more = "" if row["draws"] == 5 else f", {row['draws']} draws"
    gain = f"{row['gain']:+.3f} ({row['low']:+.3f} … {row['high']:+.3f}{more})"
    name = f"`{row['method']}`" + ("" if row["with values"] == "defaults" else f" ({row['with values']})")
    verdict = "**does not hold**" if row["holds"] == "does not hold" else row["holds"]
    return f"| {name} | {row['claim']} | {figure} | {row['without']:.3f} | {row['with']:.3f} | {gain} | {verdict} |"


def _known() -> dict[str, tuple[Cell, ...]]:
    """The lines of the last result, of methods that are still there."""
    path = RESULTS / f"{NAME}.json"
    if not path.is_file():
        return {}
    result = read(path)
    assert isinstance(result, Figures)
    return {str(row[0]): row for row in result.rows if row[0] in catalogue() and len(row) == len(COLUMNS)}


def write_page(result: Figures) -> None:
    """Write docs/claims.md."""
    with replacing(PAGE) as temporary:
        temporary.write_text(page(result), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, publish, write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=TITLE)
    parser.add_argument("names", nargs="*", help="methods; without any, all of them")
    parser.add_argument("--page", action="store_true", help="measure nothing, only write docs/claims.md")
    given = parser.parse_args(arguments)
    try:
        if given.page:
            result = read(RESULTS / f"{NAME}.json")
            assert isinstance(result, Figures)
            write_page(result)
            return 0
        torch.set_num_threads(1)
        chosen = [component(name) for name in given.names] or list(catalogue().values())
        lines = {**_known(), **measured(chosen, Terms())}
        ordered = [lines[name] for name in catalogue() if name in lines]
        write_page(publish_figures(NAME, TITLE, COLUMNS, ordered, NOTES))
    except EquipoiseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
