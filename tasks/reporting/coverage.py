"""Data and coverage: classes, groups, their counts together, missing values, checks and columns left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.schema import Schema
from tasks.reporting.numbers import count, finite, percent, plural, setting

PURPOSES = {
    "train": "trains the models",
    "valid": "chooses between them",
    "calib": "fits what comes after training: temperature, thresholds",
    "test": "judges, once",
}
PART_NAMES = {"train": "training", "valid": "validation", "calib": "calibration", "test": "test"}
SPLIT_NOTES = {
    "stratified": "Drawn at random within every class × group.",
    "time": "In order of time: the newest rows judge.",
    "official": "The test rows are those that the data set was published with.",
}
SMALL_SHARE = 0.03
PARTS_OF = {"regression": ("bin", "bins"), "multilabel": ("label", "labels")}
"""What rows are counted by where that is no class."""
MOST_PASSED = 15


@dataclass(frozen=True)
class ClassCount:
    """One class of the target."""

    name: str
    rows: int
    share: float
    positive: bool


@dataclass(frozen=True)
class GroupCount:
    """One group, and its rows of each class."""

    name: str
    rows: int
    share: float
    by_class: tuple[int, ...]
    positive_share: float | None
    small: bool


@dataclass(frozen=True)
class AttributeCounts:
    """The groups of one sensitive attribute."""

    name: str
    joint: bool
    groups: tuple[GroupCount, ...]


@dataclass(frozen=True)
class Part:
    """One part of the split."""

    name: str
    rows: int
    by_class: tuple[int, ...]
    purpose: str


@dataclass(frozen=True)
class Check:
    """One data check with its outcome."""

    name: str
    subject: str
    expected: str
    observed: str
    outcome: str
    look: str
    severity: str
    advice: str


@dataclass(frozen=True)
class Missing:
    """One column with missing values."""

    column: str
    share: float
    gap: str


@dataclass(frozen=True)
class Coverage:
    """The section's content."""

    summary: str
    part: str
    target: str
    positive: str | None
    declared: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...]
    classes: tuple[ClassCount, ...]
    parts: tuple[Part, ...]
    split_notes: tuple[str, ...]
    coverage: tuple[AttributeCounts, ...]
    checks: tuple[Check, ...]
    passed: tuple[Check, ...]
    missing: tuple[Missing, ...]
    complete: str
    dropped: tuple[tuple[str, str], ...]


def coverage_view(
    card: Mapping[str, Any], schema: Schema, split: Mapping[str, Any], results: Mapping[str, Any]
) -> Coverage:
    """What ingest counted, validate checked and split made; declared groups without rows keep their line."""
    target, rows = schema.target, int(card["rows"])
    counts = {c: int(card["classes"].get(c, 0)) for c in target.counted}
    missing = _missing(card["missing"])
    full = len(card["columns"]) - len(missing)
    shown, folded = _checks(results["checks"])
    return Coverage(
        summary=_summary(card, schema, len(target.counted)),
        part=PARTS_OF.get(target.kind, ("class", "classes"))[0],
        target=target.column,
        positive=target.positive,
        declared=tuple(_declared(card.get("declared") or {})),
        left_out=tuple(
            f"{plural(int(r['rows']), 'row')} left out: {r['why']}." for r in card.get("rows_left_out") or ()
        )
        + tuple(card.get("notes") or ()),
        classes=tuple(ClassCount(c, n, n / rows if rows else 0.0, c == target.positive) for c, n in counts.items()),
        parts=_parts(split, target.counted),
        split_notes=_split_notes(split),
        coverage=tuple(_attributes(card, schema, rows)),
        checks=shown,
        passed=folded,
        missing=missing,
        complete=f"{plural(full, 'column has', 'columns have')} no missing values."
        if full
        else "Every column has missing values.",
        dropped=tuple((str(k), str(v) or "named in data.drop") for k, v in card["dropped_columns"].items()),
    )


def _summary(card: Mapping[str, Any], schema: Schema, classes: int) -> str:
    features = sum(bool(c["feature"]) for c in card["columns"])
    kind = "images" if any(c.kind == "image" for c in schema.columns) else plural(features, "feature")
    what = PARTS_OF.get(schema.target.kind, ("class", "classes"))
    words = f"{count(int(card['rows']))} rows of {schema.dataset} with {kind}, {plural(classes, *what)}"
    named = ", ".join(a.name for a in schema.sensitive)
    return f"{words} and an imbalance ratio of {float(card['imbalance_ratio']):.1f}." + (
        f" Sensitive attributes: {named}." if named else ""
    )


def _missing(found: Mapping[str, Any]) -> tuple[Missing, ...]:
    """Columns with missing values, the most incomplete first, each with its largest gap between groups."""
    shares = {str(k): float(v) for k, v in found["columns"].items()}
    return tuple(
        Missing(c, shares[c], _largest_gap(c, found.get("groups") or {}))
        for c in sorted(shares, key=lambda c: (-shares[c], c))
    )


def _largest_gap(column: str, groups: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """`region: Islands 21.0%, North 4.0%`, the pair of groups that differ most in how often the column is missing."""
    widest, words = 0.0, ""
    for attribute, by_group in groups.items():
        rates = {g: float(r[column]) for g, r in by_group.items() if column in r}
        if len(rates) < 2:
            continue
        most, least = max(rates, key=lambda g: rates[g]), min(rates, key=lambda g: rates[g])
        if rates[most] - rates[least] > widest:
            widest = rates[most] - rates[least]
            words = f"{attribute}: {most} {percent(rates[most])}, {least} {percent(rates[least])}"
    return words


def _declared(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the maker of the data says of it: a heading and a sentence each."""
    rows = []
    for name, value in found.items():
        if name == "biased_labels" and isinstance(value, Mapping):
            rows.append(("Biased labels", _biased(value)))
        elif name == "proxies" and isinstance(value, Mapping):
            pairs = ", ".join(f"{column} stands in for {attribute}" for column, attribute in value.items())
            rows.append(("Proxies", f"{pairs}."))
        else:
            rows.append((str(name).replace("_", " ").capitalize(), _told(value)))
    return rows


def _told(value: Any) -> str:
    """A declaration as a sentence: what it is, then its particulars."""
    if not isinstance(value, Mapping) or "what" not in value:
        return setting(value)
    rest = ", ".join(f"{k} {setting(v)}".replace("_", " ") for k, v in value.items() if k != "what")
    return f"{value['what']}" + (f" ({rest})." if rest else ".")


def _biased(found: Mapping[str, Any]) -> str:
    against = ", ".join(f"{k} {v}" for k, v in (found.get("against") or {}).items())
    share = finite(found.get("share_of_rows"))
    words = f"{percent(share)} of all rows are " if share is not None else ""
    return f"{words}{found.get('what', 'wrong')}" + (f", all of them {against}." if against else ".")


def _parts(split: Mapping[str, Any], classes: Sequence[str]) -> tuple[Part, ...]:
    """The parts in the order in which they are used."""
    found = split["parts"]
    return tuple(
        Part(PART_NAMES[k], int(found[k]["rows"]), tuple(int(found[k]["classes"][c]) for c in classes), purpose)
        for k, purpose in PURPOSES.items()
        if k in found
    )


def _split_notes(split: Mapping[str, Any]) -> tuple[str, ...]:
    """How the rows were divided, and what came in the way."""
    left_out, copies = int(split.get("left_out") or 0), split.get("copies") or {}
    notes = [SPLIT_NOTES[split["by"]]]
    if copies.get("rows"):
        notes.append(
            f"{plural(int(copies['rows']), 'row')} with equal features stayed together in {plural(int(copies['groups']), 'set')}."
        )
    if left_out:
        notes.append(f"{plural(left_out, 'row')} left out of every part.")
    return (*notes, *(str(n) for n in split.get("notes") or ()))


def _attributes(card: Mapping[str, Any], schema: Schema, rows: int) -> Iterator[AttributeCounts]:
    """Every attribute, and the intersections that occur."""
    for a in schema.sensitive:
        found = card["class_by_group"].get(a.name) or {}
        names, sizes = dict.fromkeys((*a.groups, *found)), card["groups"].get(a.name) or {}
        yield AttributeCounts(
            a.name,
            False,
            tuple(
                _group(n, found.get(n) or {}, schema, rows, sizes.get(n, sum((found.get(n) or {}).values())))
                for n in names
            ),
        )
    joint = card.get("intersections")
    if joint:
        groups = tuple(_group(n, g["classes"], schema, rows, int(g["rows"])) for n, g in joint["groups"].items())
        yield AttributeCounts(str(joint["attribute"]), True, groups)


def _group(name: str, found: Mapping[str, int], schema: Schema, rows: int, total: int) -> GroupCount:
    by_class = tuple(int(found.get(c, 0)) for c in schema.target.counted)
    share = total / rows if rows else 0.0
    positive = by_class[1] / total if schema.target.positive is not None and total else None
    return GroupCount(name, total, share, by_class, positive, share < SMALL_SHARE)


def _checks(found: Sequence[Mapping[str, Any]]) -> tuple[tuple[Check, ...], tuple[Check, ...]]:
    """Checks to show and checks to fold away: what failed comes first, what passed is shown while it is asked for and short."""
    checks = [(_check(c), c) for c in found]
    failed = sorted((c for c, _ in checks if c.look in ("fail", "warn")), key=lambda c: c.look)
    idle = [c for c, _ in checks if c.look == "idle"]
    asked = [c for c, given in checks if c.look == "pass" and given.get("position") is not None]
    own = [c for c, given in checks if c.look == "pass" and given.get("position") is None]
    if len(asked) > MOST_PASSED:
        return (*failed, *idle), (*asked, *own)
    return (*failed, *asked, *idle), tuple(own)


def _check(found: Mapping[str, Any]) -> Check:
    """A failed check is a warning or an error by its severity; an error would have stopped the run."""
    severity, outcome = str(found["severity"]), str(found["outcome"])
    looks = {"pass": ("passed", "pass"), "not applicable": ("not applicable", "idle")}
    words, look = looks.get(outcome) or (("failed", "fail") if severity == "error" else ("warning", "warn"))
    subject = " by ".join(str(found[k]) for k in ("column", "attribute") if found.get(k))
    return Check(
        name=str(found["check"]).replace("_", " "),
        subject=subject or "the table",
        expected=str(found.get("expected") or found.get("why") or ""),
        observed=setting(found["observed"]) if found.get("observed") is not None else "–",
        outcome=words,
        look=look,
        severity=severity,
        advice=str(found.get("advice") or ""),
    )
