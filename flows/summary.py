"""The end of a run on the terminal: the verdict, the rules it rests on, and where the report is."""

from __future__ import annotations

import os

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.listing import figure, wide_console
from flows.outcome import Outcome

COLOURS = {"pass": "green", "fail": "red", "insufficient evidence": "yellow"}


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
        interval = f"{figure(rule['low'])} to {figure(rule['high'])}" if rule.get("low") is not None else ""
        colour = COLOURS[rule["outcome"]]
        table.add_row(f"[{colour}]{rule['outcome']}[/]", escape(subject), limit, figure(rule.get("value")), interval)
    console.print(table)


LIMITS = {"at_least": "≥", "at_most": "≤", "worse_by_at_most": "worse by ≤"}
