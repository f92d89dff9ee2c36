"""What a run leaves in Prefect's UI: the search's progress and leaderboard, the verdict, the summary, the report's place."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.outcome import Outcome
from flows.pipeline import REPORT, TRIALS, VERDICT
from tasks.identity import redacted
from tasks.progress import Display, Meter
from tasks.search.choice import merit, optimized
from tasks.stage import read_json

SECONDS_BETWEEN_UPDATES = 2.0
SIGNS = {"pass": "✅", "fail": "❌", "insufficient evidence": "❔"}


class Progress:
    """Shows what a stage reports in the UI, beside the display that shows it here. Every update is a call of the API.

    An update that does not arrive (the server or its database is just started again) is left out: work goes on without.
    """

    def __init__(self, beside: Display) -> None:
        self._beside = beside
        self._artifact: UUID | None = None
        self._last = 0.0

    def begin(self, meter: Meter) -> None:
        """A progress bar of its own for each piece of work."""
        self._beside.begin(meter)
        self._artifact = None
        with contextlib.suppress(httpx.HTTPError):
            self._artifact = cast("UUID", create_progress_artifact(progress=0.0, description=redacted(meter.what)))
        self._last = time.monotonic()

    def update(self, meter: Meter) -> None:
        """Move it, not too often."""
        self._beside.update(meter)
        if time.monotonic() - self._last >= SECONDS_BETWEEN_UPDATES:
            self._send(meter)

    def end(self, meter: Meter) -> None:
        """Its last state."""
        self._beside.end(meter)
        self._send(meter)

    def _send(self, meter: Meter) -> None:
        if self._artifact is not None and meter.total:
            share = min(1.0, meter.done / meter.total)
            with contextlib.suppress(httpx.HTTPError):
                update_progress_artifact(
                    self._artifact, progress=round(100 * share, 1), description=redacted(meter.text)
                )
            self._last = time.monotonic()


def leaderboard(root: Path) -> None:
    """The trials, best first, as a table."""
    record = read_json(root / TRIALS)
    metric, limits = optimized(record["objective"]), record["objective"].get("subject_to", {})
    finished = [t for t in record["trials"] if t["status"] in ("finished", "stopped") and t["metrics"]]
    finished.sort(key=lambda t: (not t["feasible"], t["violation"], -merit(metric, t["metrics"].get(metric))))
    learned = any("champion" in trial for trial in finished)
    rows = [
        {
            "place": place,
            "recipe": trial["recipe"],
            **({"learned from": trial.get("champion", "")} if learned else {}),
            "learner": trial["learner"],
            "training": trial.get("training", trial["trial"]),
            metric: _figure(trial["metrics"].get(metric)),
            **{
                f"{metric} (at most {limit:g})": _figure(trial["metrics"].get(metric))
                for metric, limit in limits.items()
            },
            "within limits": "yes" if trial["feasible"] else "no",
            "values": ", ".join(f"{k}={_figure(v)}" for k, v in trial["values"].items()),
        }
        for place, trial in enumerate(finished, start=1)
    ]
    others = len(record["trials"]) - len(finished)
    create_table_artifact(
        key="leaderboard",
        table=redacted(rows),
        description=f"Trials on validation rows, best first{f'; {others} more were halved or failed' if others else ''}.",
    )


def verdict(root: Path) -> None:
    """The policy, rule by rule."""
    found = read_json(root / VERDICT)
    lines = [
        f"## {SIGNS.get(found['verdict'], '')} {found['verdict'].capitalize()}",
        "",
        found["summary"],
        "",
        "| | rule | value | interval | |",
        "|---|---|---|---|---|",
    ]
    for rule in found["rules"]:
        subject = rule["rule"]["metric"] + (f" by {rule['attribute']}" if rule.get("attribute") else "")
        interval = f"{_figure(rule['low'])} to {_figure(rule['high'])}" if rule.get("low") is not None else ""
        lines.append(
            f"| {SIGNS.get(rule['outcome'], '') if rule.get('applies', True) else '–'} | {subject} | {_figure(rule['value'])} | {interval} | {rule['why']} |"
        )
    page("verdict", "\n".join(lines), found["summary"])


def report(root: Path) -> None:
    """Where the report is; a browser opens the link on the machine that ran."""
    path = (root / REPORT).resolve()
    create_link_artifact(key="report", link=path.as_uri(), link_text="The report", description=str(path))


def summary(outcome: Outcome) -> None:
    """The whole run on one page."""
    figures = "\n".join(f"| {name} | {_figure(value)} |" for name, value in outcome.metrics.items())
    text = "\n".join(
        [
            f"# {outcome.headline[0].upper()}{outcome.headline[1:]}",
            "",
            outcome.why or outcome.summary,
            "",
            f"Chosen: **{outcome.recipe}** with {outcome.learner}. Report: `{outcome.report.resolve()}`",
            "",
            "| metric on test rows | |",
            "|---|---|",
            figures,
        ]
    )
    page("summary", text, outcome.headline)


def page(key: str, text: str, description: str) -> None:
    """Text in the UI, without credentials, wherever in it they come from."""
    create_markdown_artifact(key=key, markdown=redacted(text), description=redacted(description))


def _figure(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
