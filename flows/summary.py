"""The end of a run on the terminal: the verdict, the rules it rests on, and where the report is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.listing import figure, wide_console
from flows.outcome import Outcome

NOT_YET = "not applicable"
"""Of a rule against a champion that there is not yet."""
COLOURS = {"pass": "green", "fail": "red", "insufficient evidence": "yellow", NOT_YET: "dim"}


def show_outcome(outcome: Outcome) -> None:
    """Print the outcome."""
    console = wide_console()
    colour = "green" if outcome.decision == "registered" else "red"
    console.print()
    console.print(f"[bold {colour}]{escape(outcome.headline[0].upper() + outcome.headline[1:])}[/]")
    console.print(f"Verdict: [{COLOURS[outcome.verdict]}]{outcome.verdict}[/]. {escape(outcome.summary)}")
    if outcome.why and outcome.summary not in outcome.why:
        console.print(escape(outcome.why))
    console.print(f"Chosen: {escape(outcome.recipe)} with {escape(outcome.learner)}")
    _show_rules(console, outcome)
    console.print(f"Report: {os.path.relpath(outcome.report)}", soft_wrap=True)


def _show_rules(console: Console, outcome: Outcome) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("outcome", "rule", "limit", "value", "interval"):
        table.add_column(column, justify="right" if column in ("limit", "value") else "left")
    for rule in outcome.rules:
        wanted = rule["rule"]
        subject = wanted["metric"] + (f" by {rule['attribute']}" if rule.get("attribute") else "")
        limit = next((f"{sign} {wanted[k]:g}" for k, sign in LIMITS.items() if wanted.get(k) is not None), "")
        said = rule["outcome"] if rule.get("applies", True) else NOT_YET
        table.add_row(f"[{COLOURS[said]}]{said}[/]", escape(subject), limit, *_measured(rule))
    console.print(table)


def _measured(rule: Mapping[str, Any]) -> tuple[str, str]:
    """A rule's value and interval; of one against the champion those of the difference, which is what its limit is about."""
    difference = rule.get("difference")
    value, found = figure(rule.get("value")), difference or rule
    if difference:
        value = f"{difference['value']:+.4g}, {value} after {figure(rule.get('champion_value'))}"
    return value, f"{figure(found['low'])} to {figure(found['high'])}" if found.get("low") is not None else ""


LIMITS = {"at_least": "≥", "at_most": "≤", "worse_by_at_most": "worse by ≤"}
