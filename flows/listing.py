"""Tables on the terminal: strategies, data sets, models, versions and the moves of their aliases."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from models.balancing.component import Component

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
    from models.balancing.discovery import catalogue

    return [strategy_row(kind) for kind in catalogue().values()]


def strategy_row(kind: type[Component]) -> dict[str, Any]:
    """All that a program may want to know of a method; an unlimited `minimum` or `maximum` is null."""
    from models.balancing.claim import claim_of

    return {
        "name": kind.name,
        "slot": kind.slot,
        "about": " ".join((kind.__doc__ or "").split()),
        "tasks": sorted(kind.tasks),
        "needs": sorted(kind.needs),
        "implies": dict(kind.implies),
        "batched": kind.batched,
        "cost": kind.cost,
        "formula": kind.formula,
        "claim": _claim(claim_of(kind)),
        "hyperparameters": {
            name: {
                "default": allowed.default,
                "low": allowed.low,
                "high": allowed.high,
                "log": allowed.log,
                "choices": list(allowed.choices) if allowed.choices else None,
                "minimum": allowed.minimum if math.isfinite(allowed.minimum) else None,
                "maximum": allowed.maximum if math.isfinite(allowed.maximum) else None,
            }
            for name, allowed in kind.hyperparameters().items()
        },
        "source": _source(kind.source),
        "also": [_source(source) for source in kind.also],
    }


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
    print("\n`equipoise strategies show NAME` says more of one.", end=" ")
    print("A recipe is names joined by _ (ldam_drw), or slots: {loss: ldam, schedule: drw, mix: mixup}.")


def show_strategy(kind: type[Component]) -> None:
    """A method, fact by fact."""
    from models.balancing.base import EVERY_TASK
    from models.balancing.page import citation, in_words
    from models.recipe import published

    row = strategy_row(kind)
    facts = [
        ("slot", row["slot"]),
        ("formula", row["formula"]),
        ("serves", "every kind of target" if kind.tasks == EVERY_TASK else ", ".join(row["tasks"])),
        ("needs", ", ".join(row["needs"]) or "nothing but rows and target"),
        ("brings", ", ".join(f"{slot}: {name}" for slot, name in row["implies"].items())),
        ("trains", "in populations" if kind.batched else "one by one"),
        ("costs", row["cost"]),
        *((name, in_words(allowed)) for name, allowed in kind.hyperparameters().items()),
        ("claims that it", row["claim"]["text"]),
        *(("source" if i == 0 else "also", citation(s).replace("*", "")) for i, s in enumerate((kind.source, *kind.also))),
        ("recipes with it", ", ".join(entry.name for entry in published().values() if _names(entry.composition, kind.name))),
    ]  # fmt: skip
    _show_facts(row["name"], row["about"], facts)


def _names(composition: Any, name: str) -> bool:
    """Whether a method stands in a recipe, in whatever slot."""
    if isinstance(composition, Mapping):
        return any(key == name or _names(value, name) for key, value in composition.items())
    if isinstance(composition, str):
        return composition == name
    return any(_names(part, name) for part in composition) if isinstance(composition, Iterable) else False


def show_recipe(row: Mapping[str, Any]) -> None:
    """A published recipe, fact by fact."""
    from models.published_page import composition

    facts = [
        ("composition", composition(row["composition"])),
        ("aim", row["aim"]),
        ("made for", row["made_for"] or "any data"),
        ("serves", ", ".join(row["tasks"])),
        ("needs", ", ".join(row["needs"]) or "nothing but rows and target"),
        ("paper", _title(row["paper"]) if row["paper"] else "put together here of published parts"),
        *((name, _title(source)) for name, source in row["methods"].items()),
    ]
    _show_facts(row["name"], row["why"], facts)


def _show_facts(name: str, about: str, facts: Iterable[tuple[str, str]]) -> None:
    console = wide_console()
    console.print(f"[bold]{escape(name)}[/bold]  {escape(about)}\n")
    table = Table(box=None, pad_edge=False, show_header=False)
    for fact, words in facts:
        if words:
            table.add_row(f"[bold]{escape(fact)}[/bold]", escape(words))
    console.print(table)


def _title(source: Mapping[str, Any]) -> str:
    return f"{source['title']} ({_citation(source)})"


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
