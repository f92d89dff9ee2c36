"""Tables on the terminal: strategies, data sets, models, versions and the moves of their aliases."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

WIDTH_OF_A_PIPE = 160


def wide_console() -> Console:
    """A console on standard output; into a pipe or a file it writes wide lines and does not cut them."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE)


def show_rows(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """A plain table."""
    table = Table(box=None, pad_edge=False, header_style="bold", title=title or None, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    wide_console().print(table)


def strategy_rows() -> list[dict[str, Any]]:
    """Every method, slot by slot, with its hyperparameters and where it comes from; ready for JSON."""
    from models.balancing.claim import claim_of
    from models.balancing.discovery import catalogue

    return [
        {
            "name": kind.name,
            "slot": kind.slot,
            "tasks": sorted(kind.tasks),
            "needs": sorted(kind.needs),
            "implies": dict(kind.implies),
            "batched": kind.batched,
            "formula": kind.formula,
            "claim": _claim(claim_of(kind)),
            "hyperparameters": {
                name: {
                    "default": allowed.default,
                    "low": allowed.low,
                    "high": allowed.high,
                    "log": allowed.log,
                    "choices": list(allowed.choices) if allowed.choices else None,
                }
                for name, allowed in kind.hyperparameters().items()
            },
            "source": _source(kind.source),
            "also": [_source(source) for source in kind.also],
        }
        for kind in catalogue().values()
    ]


def _claim(claim: Any) -> dict[str, Any]:
    return {"text": claim.text, "problem": claim.problem, "measure": claim.measure}


def _source(source: Any) -> dict[str, Any]:
    return {"title": source.title, "authors": source.authors, "year": source.year, "id": source.id}


def show_strategies(rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per method."""
    show_rows(
        ("slot", "name", "needs", "searched", "source"),
        (
            (
                row["slot"],
                row["name"],
                ", ".join(row["needs"]),
                ", ".join(n for n, h in row["hyperparameters"].items() if h["low"] is not None or h["choices"]),
                _citation(row["source"]),
            )
            for row in rows
        ),
    )
    print("\nA recipe is names joined by _ (ldam_drw), or slots: {loss: ldam, schedule: drw, mix: mixup}.")


def show_recipes(rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per published recipe, aim by aim."""
    from models.published import AIMS
    from models.published_page import composition

    for aim, words in AIMS.items():
        chosen = [row for row in rows if row["aim"] == aim]
        show_rows(
            ("name", "composition", "needs", "why"),
            ((row["name"], composition(row["composition"]), ", ".join(row["needs"]), row["why"]) for row in chosen),
            title=f"To {words}",
        )
        print()
    print(
        "`search.recipes: auto` picks those that fit the data and what is asked, and says why. docs/recipes.md has the papers."
    )


def _citation(source: Mapping[str, Any]) -> str:
    who = str(source["authors"]).split(",")[0]
    return " ".join(str(part) for part in (who, source["year"], source["id"]) if part) or str(source["title"])


def show_data(rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per data set."""
    show_rows(
        ("name", "at hand", "target", "sensitive", "about"),
        ((r["name"], r["at_hand"], r["target"], ", ".join(r["sensitive"]), r["about"]) for r in rows),
    )


def show_models(rows: Sequence[Mapping[str, Any]], url: str) -> None:
    """One line per model of a registry."""
    if not rows:
        print(f"{url} has no models yet. `equipoise run` registers one.")
        return
    show_rows(
        ("name", "versions", "latest", "champion", "previous"),
        ((r["name"], str(r["versions"]), r["latest"], r["champion"] or "–", r["previous"] or "–") for r in rows),
    )


def show_versions(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per version of a model."""
    show_rows(
        (name, "aliases", "created", "recipe", "balanced accuracy", "digest"),
        (
            (
                r["version"],
                ", ".join(r["aliases"]),
                str(r.get("created", "")),
                str((r.get("summary") or {}).get("recipe", r.get("damaged", ""))),
                figure(((r.get("summary") or {}).get("metrics") or {}).get("balanced_accuracy")),
                str(r.get("digest", ""))[:19],
            )
            for r in rows
        ),
    )


def show_reference(found: Mapping[str, Any]) -> None:
    """A model with its history, or a version with its files."""
    if "versions" in found:
        show_versions(found["name"], found["versions"])
        print()
        show_rows(
            ("#", "action", "alias", "from", "to", "who", "when", "why"),
            (
                (
                    str(m["number"]),
                    m["action"],
                    m["alias"],
                    m["from"] or "–",
                    m["to"],
                    m["who"],
                    str(m["when"]),
                    m["why"],
                )
                for m in found["history"]
            ),
        )
        return
    summary = found["summary"]
    facts = {
        "version": f"{found['name']}@{found['version']}",
        "aliases": ", ".join(found["aliases"]) or "–",
        "created": f"{found['created']} by {found['by']}",
        "recipe": f"{summary.get('recipe', '–')} with {summary.get('learner', '–')}",
        "verdict": str(summary.get("verdict", "–")),
        "code": f"{summary.get('commit') or 'no commit is known'}{', with uncommitted changes' if summary.get('dirty') else ''}",
        "digest": f"{found['digest']} (every file verified)",
        "where": found["where"],
    }
    show_rows(("", ""), facts.items())
    print()
    show_rows(("metric", "on test rows"), ((k, figure(v)) for k, v in (summary.get("metrics") or {}).items()))
    print()
    show_rows(
        ("file", "bytes"),
        ((path, f"{entry['bytes']:,}" if "bytes" in entry else "") for path, entry in found["files"].items()),
    )


def show_move(moved: Mapping[str, Any]) -> None:
    """What a promotion or a rollback did."""
    if not moved["moved"]:
        print(f"{moved['name']}@{moved['to']} is {moved['alias']} already; nothing was moved.")
        return
    before = f" (before: {moved['from']})" if moved["from"] else ""
    print(f"{moved['name']}: {moved['alias']} is now {moved['to']}{before}.")


def figure(value: Any) -> str:
    """A number with as many digits as a reader wants."""
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
