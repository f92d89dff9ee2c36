"""report: one self-contained HTML page that says what was decided, what was tried, and what that rests on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pandas as pd

from models.schema import Schema
from tasks import identity
from tasks.params import Params
from tasks.parts import read_schema
from tasks.reporting import words
from tasks.reporting.coverage import coverage_view
from tasks.reporting.groups import groups_view, overall_figures
from tasks.reporting.lineage import Identity, Lineage, lineage_view
from tasks.reporting.numbers import count, plural
from tasks.reporting.page import Page, render
from tasks.reporting.performance import performance_view
from tasks.reporting.search import Search, search_view
from tasks.reporting.verdict import verdict_view
from tasks.stage import Paths, Stage, read_json, replacing

log = logging.getLogger("equipoise")


def run(params: Params, inputs: Paths, outputs: Paths) -> None:
    """Write report.html. The same inputs, code and libraries give the same bytes: nothing in it says when or where."""
    schema = read_schema(inputs["schema"].parent)
    found = {name: read_json(path) for name, path in inputs.items() if path.suffix == ".json"}
    predictions = pd.read_parquet(inputs["predictions"])
    root = inputs["schema"].parents[2]
    record = Identity(
        code=identity.code(root),
        tables={inputs[name].name: identity.sums(inputs[name]) for name in ("rows", "parts")},
        lock=identity.lock(root),
        libraries=identity.libraries(),
    )
    html = render(page_of(params, schema, found, predictions, record))
    with replacing(outputs["report"]) as temporary:
        temporary.write_text(html, encoding="utf-8")
    log.info("report: %s", outputs["report"])


def page_of(
    params: Params, schema: Schema, found: Mapping[str, Any], predictions: pd.DataFrame, record: Identity
) -> Page:
    """Every section's view of what the stages wrote; `found` holds their JSON by the names of STAGE.inputs."""
    search = search_view(found["trials"], found["choice"])
    data = coverage_view(found["card"], schema, found["split"], found["checks"])
    performance = performance_view(found["evaluation"], predictions, schema, found["audit"], params.evaluate)
    return Page(
        model=params.model_name,
        lead=f"Predicts {schema.target.column} ({_classes(schema)}) on {schema.dataset}.",
        confidence=f"{100 * params.evaluate.confidence:.4g}%",
        facts=_facts(schema, found, search, performance.rows),
        verdict=verdict_view(found["verdict"]),
        search=search,
        data=data,
        performance=performance,
        groups=groups_view(found["audit"], overall_figures(found["evaluation"])),
        lineage=_lineage(params, schema, found, performance.refits.seeds, record),
    )


def _classes(schema: Schema) -> str:
    classes = schema.target.classes
    if schema.target.kind == "regression":
        return "a number"
    words = ("label", "labels") if schema.target.kind == "multilabel" else ("class", "classes")
    return ", ".join(classes) if len(classes) <= 4 else plural(len(classes), *words)


def _facts(
    schema: Schema, found: Mapping[str, Any], search: Search, test_rows: int
) -> tuple[tuple[str, str, str], ...]:
    """What a reader wants to know before the first table."""
    choice = found["choice"]
    facts = [
        (
            "Chosen recipe",
            str(choice["recipe"]),
            f"{choice['learner']}, of {plural(len(found['trials']['trials']), 'trial')}",
        ),
        ("Judged on", f"{count(test_rows)} test rows", f"of {count(int(found['card']['rows']))} in all"),
    ]
    for metric in (search.objective, *(m for m, _ in search.limits))[:3]:
        figure = overall_figures(found["evaluation"]).get(metric)
        if figure is not None and figure.value is not None:
            facts.append(
                (words.label(metric), figure.text, f"{figure.interval}, test rows" if figure.interval else "test rows")
            )
    groups = ", ".join(a.name for a in schema.sensitive)
    facts.append(("Groups compared", groups or "none named", ""))
    return tuple(facts)


def _lineage(
    params: Params, schema: Schema, found: Mapping[str, Any], refits: tuple[int, ...], record: Identity
) -> Lineage:
    parts = found["split"]["parts"]
    card = found["card"]
    source = [(k.capitalize(), identity.redacted(str(card[k]))) for k in ("about", "licence", "home") if card.get(k)]
    source += [
        (identity.redacted(f["name"]), f"sha256 {f['sha256']}")
        for f in (card.get("source") or {}).get("files") or ()
        if f.get("sha256")
    ]
    shown = {s: getattr(params, s) for s in STAGE.sections}
    written = {s: v.model_dump(mode="json") if hasattr(v, "model_dump") else v for s, v in shown.items()}
    return lineage_view(
        params.model_name,
        schema.dataset,
        source,
        {k: int(v["rows"]) for k, v in parts.items()},
        str(found["split"]["by"]),
        found["choice"],
        refits,
        identity.redacted(written),
        record,
    )


STAGE = Stage(
    name="report",
    run=run,
    sections=(
        "seed",
        "data",
        "target",
        "sensitive",
        "checks",
        "split",
        "resample",
        "model",
        "search",
        "retrain",
        "evaluate",
        "gates",
        "registry",
    ),
    inputs={
        "rows": "data/ingest/rows.parquet",
        "schema": "data/ingest/schema.json",
        "card": "data/ingest/card.json",
        "checks": "data/validate/results.json",
        "parts": "data/split/split.parquet",
        "split": "data/split/summary.json",
        "trials": "data/tune/trials.json",
        "choice": "data/tune/choice.json",
        "predictions": "data/evaluate/predictions.parquet",
        "evaluation": "data/evaluate/evaluation.json",
        "audit": "data/audit/audit.json",
        "verdict": "data/gate/verdict.json",
    },
    outputs={"report": "data/report/report.html"},
)

if __name__ == "__main__":
    STAGE.main()
