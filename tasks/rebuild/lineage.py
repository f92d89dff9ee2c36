"""Where a version comes from, drawn: data -> splits -> recipe -> version, as a tree of text and as a picture."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tasks.rebuild.record import Record
from tasks.reporting.numbers import count, plural, setting
from tasks.reporting.svg import drawing, element, line, text

SHORT = 12
WIDTH, GAP, MARGIN = 230, 34, 16
LINE_HEIGHT, TITLE_HEIGHT = 17, 50
CHARACTERS = 34

STYLE = """
.lineage{font:12px system-ui,sans-serif;background:#fff;color:#1d2430}
.lineage .box{fill:#f5f7fa;stroke:#8b97a8}
.lineage .kind{fill:#5a6675;font-size:11px}
.lineage .name{fill:#1d2430;font-weight:600;font-size:13px}
.lineage .fact{fill:#3a4554}
.lineage .arrow{stroke:#5a6675;stroke-width:1.5}
.lineage .tip{fill:#5a6675}
@media (prefers-color-scheme:dark){
.lineage{background:#14181f;color:#e6eaf0}
.lineage .box{fill:#1d232c;stroke:#67758a}
.lineage .kind{fill:#9aa7b8}.lineage .name{fill:#f2f5f9}.lineage .fact{fill:#c5cedb}
.lineage .arrow{stroke:#9aa7b8}.lineage .tip{fill:#9aa7b8}}
"""


@dataclass(frozen=True)
class Station:
    """One station on the way: what it is, its name, and what is known of it."""

    kind: str
    name: str
    facts: tuple[str, ...]


def stations(record: Record) -> tuple[Station, ...]:
    """From the data to the version."""
    return (_data(record), _split(record), _recipe(record), _version(record))


def as_json(record: Record) -> dict[str, Any]:
    """For programs."""
    return {
        "version": record.reference,
        "stations": [{"kind": s.kind, "name": s.name, "facts": list(s.facts)} for s in stations(record)],
    }


def as_tree(found: Sequence[Station]) -> str:
    """Lines of text; every station hangs on the one before it."""
    lines: list[str] = []
    for depth, station in enumerate(found):
        indent = "   " * max(0, depth - 1)
        lines.append(f"{indent}{'└─ ' if depth else ''}{station.kind}: {station.name}")
        more = depth < len(found) - 1
        rest = f"{'   ' * depth}{'│' if more else ' '}  "
        lines += [f"{rest}{fact}" for fact in station.facts]
    return "\n".join(lines)


def as_svg(found: Sequence[Station], title: str) -> Markup:
    """The picture, complete in itself; it follows the reader's light or dark."""
    facts = [[part for fact in s.facts for part in textwrap.wrap(fact, CHARACTERS)] for s in found]
    height = TITLE_HEIGHT + LINE_HEIGHT * max(len(f) for f in facts) + 10
    whole = 2 * MARGIN + len(found) * WIDTH + (len(found) - 1) * GAP
    parts: list[Markup] = [element("style", Markup(STYLE))]
    for i, (station, lines) in enumerate(zip(found, facts, strict=True)):
        x = MARGIN + i * (WIDTH + GAP)
        parts.append(element("rect", x=x, y=MARGIN, width=WIDTH, height=height, rx=8, class_="box"))
        parts.append(text(x + 12, MARGIN + 20, station.kind, "kind"))
        parts.append(text(x + 12, MARGIN + 38, _cut(station.name, CHARACTERS - 4), "name"))
        parts += [
            text(x + 12, MARGIN + TITLE_HEIGHT + 9 + j * LINE_HEIGHT, words, "fact") for j, words in enumerate(lines)
        ]
        if i:
            y = MARGIN + 34
            parts.append(line(x - GAP + 3, y, x - 8, y, "arrow"))
            parts.append(element("polygon", points=f"{x - 3},{y} {x - 11},{y - 4} {x - 11},{y + 4}", class_="tip"))
    picture = drawing(
        whole, height + 2 * MARGIN, title, *parts, class_="lineage", detail="; ".join(s.name for s in found)
    )
    return Markup(str(picture).replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1))


def as_html(found: Sequence[Station], title: str) -> str:
    """A page with the picture, and the same as text for who cannot see it; it needs nothing from elsewhere."""
    page = Markup(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>{0}</title>'
        "<style>body{{margin:24px;font-family:system-ui,sans-serif;color-scheme:light dark}}svg{{max-width:100%;height:auto}}"
        "pre{{overflow:auto}}</style><h1>{0}</h1>{1}<details><summary>As text</summary><pre>{2}</pre></details></html>\n"
    )
    return str(page.format(title, as_svg(found, title), as_tree(found)))


def _data(record: Record) -> Station:
    card = record.document("card")
    source = record.identity["data"].get("source") or {}
    files = [f"{f['name']} sha256 {str(f['sha256'])[:SHORT]}…" for f in source.get("files") or () if f.get("sha256")]
    rows = record.tables.get("rows.parquet") or {}
    classes = ", ".join(f"{name} {count(int(n))}" for name, n in (card.get("classes") or {}).items())
    facts = (*files, f"{count(int(card['rows']))} rows" if card.get("rows") else "", classes)
    return Station("Data", str(card.get("dataset") or "not named"), _known(*facts, _sum("rows", rows)))


def _split(record: Record) -> Station:
    params = record.document("params")
    split = params.get("split") or {}
    shares = ", ".join(f"{part} {split[part]:.0%}" for part in ("train", "valid", "calib", "test") if part in split)
    table = record.tables.get("split.parquet") or {}
    return Station(
        "Splits", str(split.get("by", "not known")), _known(shares, f"seed {params.get('seed')}", _sum("split", table))
    )


def _recipe(record: Record) -> Station:
    choice, search = record.document("choice"), record.document("trials")
    values = [f"{name} {setting(value)}" for name, value in (choice.get("values") or {}).items()]
    trials = search.get("trials") or []
    trial = f"trial {choice.get('trial')} of {len(trials)}" if trials else ""
    seeds = record.identity["seeds"].get("refits") or []
    refits = f"refitted with {plural(len(seeds), 'seed')}: {', '.join(map(str, seeds))}" if seeds else ""
    name = f"{choice.get('recipe', 'not known')} with {choice.get('learner', 'an unknown learner')}"
    again = record.document("train").get("rehearsed")
    memory = f", {count(int(again))} rows of its past again" if again else ""
    learned = f"learned from {record.loaded.name}@{choice['champion']}{memory}" if choice.get("champion") else ""
    return Station("Recipe", name, _known(learned, trial, *values, refits))


def _version(record: Record) -> Station:
    code, manifest = record.code, record.loaded.manifest
    commit = f"code {str(code['commit'])[:SHORT]}" if code.get("commit") else "code of no known commit"
    changed = code.get("changed") or []
    dirty = f", with {plural(len(changed), 'uncommitted file')}: {', '.join(changed[:3])}" if code.get("dirty") else ""
    verdict = record.document("verdict")
    against = (verdict.get("champion") or {}).get("version")
    facts = (
        f"aliases {', '.join(record.aliases)}" if record.aliases else "no alias",
        commit + dirty,
        f"verdict {verdict['verdict']}" + (f", against {against}" if against else ", the first") if verdict else "",
        f"digest {manifest.digest[:SHORT]}…",
        f"registered {manifest.created} by {manifest.by}",
    )
    return Station("Version", record.reference, _known(*facts))


def _sum(name: str, table: Any) -> str:
    return f"{name} sha256 {str(table['sha256'])[:SHORT]}…" if table else ""


def _known(*facts: str) -> tuple[str, ...]:
    return tuple(fact for fact in facts if fact)


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"
