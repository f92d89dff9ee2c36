"""The page of the published recipes, from their own data: `python -m models.published_page > docs/recipes.md`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.balancing.base import Source
from models.published import AIMS, Made
from models.recipe import parse, published

LEAST = (("ratio", "imbalance ratio"), ("classes", "classes"), ("rows", "training rows"),
         ("class_rows", "rows of the rarest class"), ("cell_rows", "rows of every class in every group"))  # fmt: skip


def listed() -> list[dict[str, Any]]:
    """Every published recipe, ready for JSON: composition, what it serves and needs, and where it comes from."""
    found = []
    for entry in published().values():
        recipe = parse(entry.name)
        parts = recipe.components().values()
        brought = {partner for c in parts for partner in c.implies.values()}
        own = {c.name: c.source for c in parts if c.name not in brought | {"none"}}
        paper = entry.paper or (next(iter(own.values())) if len(own) == 1 else None)
        found.append({
            "name": entry.name, "composition": dict(entry.composition), "aim": entry.aim, "why": entry.why,
            "made_for": made_for(entry.made), "tasks": sorted(recipe.tasks), "needs": sorted(recipe.needs),
            "paper": _source(paper) if paper else None,
            "methods": {name: _source(source) for name, source in own.items()},
        })  # fmt: skip
    return found


def made_for(made: Made) -> str:
    """The data that a recipe is made for, in words; empty where any will do."""
    plain = Made()
    least = [
        f"{words} of at least {getattr(made, name):g}"
        if name == "ratio"
        else f"at least {getattr(made, name):,} {words}"
        for name, words in LEAST
        if getattr(made, name) > getattr(plain, name)
    ]
    most = [f"at most {made.rows_at_most:,} training rows"] if made.rows_at_most is not None else []
    return ", ".join([*least, *most])


def page() -> str:
    """The page as Markdown."""
    rows = listed()
    lines = [
        "# Published recipes",
        "",
        "Written by `python -m models.published_page > docs/recipes.md` from the recipes' own data; do not edit it.",
        "",
        f"{len(rows)} recipes by name, in the order in which `search.recipes: auto` prefers them. Any of them can be named in "
        "`search.recipes`, built on (`{recipe: mislas, adjust: bias_corrected_temperature}`) or joined with methods "
        "(`mislas_bias_corrected_temperature`).",
    ]
    for aim, words in AIMS.items():
        lines += [
            "",
            f"## To {words}",
            "",
            "| recipe | composition | why | made for | paper |",
            "|---|---|---|---|---|",
        ]
        lines += [_line(row) for row in rows if row["aim"] == aim]
    return "\n".join(lines) + "\n"


def _line(row: Mapping[str, Any]) -> str:
    serves = ", ".join(
        filter(None, (row["made_for"], f"needs {', '.join(row['needs'])}" if row["needs"] else "", _only(row["tasks"])))
    )
    paper = _cited(row["paper"]) if row["paper"] else f"put together here from {', '.join(row['methods'])}"
    return (
        f"| `{row['name']}` | `{composition(row['composition'])}` | {row['why']} | {serves or 'any data'} | {paper} |"
    )


def _only(tasks: list[str]) -> str:
    return "" if "multiclass" in tasks else f"{', '.join(tasks)} only"


def composition(spec: Mapping[str, Any]) -> str:
    """A composition as one writes it in params.yaml."""
    return f"{{{', '.join(f'{slot}: {_written(value)}' for slot, value in spec.items())}}}"


def _written(value: Any) -> str:
    if isinstance(value, Mapping):
        return composition(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_written(v) for v in value)}]"
    return str(value)


def _source(source: Source) -> dict[str, Any]:
    return {"title": source.title, "authors": source.authors, "year": source.year, "id": source.id}


def _cited(source: Mapping[str, Any]) -> str:
    parts = (f"*{source['title']}*", str(source["year"] or ""), source["id"])
    return ", ".join(part for part in parts if part)


if __name__ == "__main__":
    print(page(), end="")
