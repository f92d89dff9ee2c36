"""The verdict: one sentence, then every rule with its value, interval, limit, outcome and reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tasks.reporting import words
from tasks.reporting.interval_chart import against_limit
from tasks.reporting.numbers import Figure, finite, plural

HEADLINES = {
    "pass": "Passed: this model may be registered.",
    "fail": "Refused: this model must not be registered.",
    "insufficient evidence": "Not decided: there is insufficient evidence.",
}
LOOKS = {"pass": "pass", "fail": "fail", "insufficient evidence": "unknown"}
OUTCOMES = tuple(LOOKS)


@dataclass(frozen=True)
class Rule:
    """One judged rule."""

    metric: str
    meaning: str
    requirement: str
    attribute: str
    outcome: str
    look: str
    figure: Figure
    champion: Figure | None
    difference: Figure | None
    limit: float | None
    why: str
    picture: Markup | None


@dataclass(frozen=True)
class Verdict:
    """The section's content."""

    outcome: str
    look: str
    headline: str
    summary: str
    tally: tuple[tuple[str, str, str], ...]
    champion: str
    rules: tuple[Rule, ...]


def verdict_view(verdict: Mapping[str, Any]) -> Verdict:
    """The verdict with rules that failed first, then those without evidence, then those that passed."""
    rules = [_rule(r) for r in verdict["rules"]]
    order = ("fail", "insufficient evidence", "pass")
    found = Counter(r.outcome for r in rules)
    verbs = {"fail": "failed", "insufficient evidence": "without enough evidence", "pass": "passed"}
    outcome = str(verdict["verdict"])
    return Verdict(
        outcome=outcome,
        look=LOOKS[outcome],
        headline=HEADLINES[outcome],
        summary=str(verdict.get("summary") or ""),
        tally=tuple((LOOKS[o], plural(found[o], "rule"), verbs[o]) for o in order if found[o]),
        champion=_champion(verdict),
        rules=tuple(sorted(rules, key=lambda r: order.index(r.outcome))),
    )


def _champion(verdict: Mapping[str, Any]) -> str:
    champion = verdict.get("champion")
    if not champion:
        return "There is no champion yet: this is the first model of this name, so it is judged by the absolute rules alone."
    name = f"The champion is version {champion.get('version')}"
    if champion.get("fits", True):
        return f"{name}. Both models were scored on the same test rows."
    return f"{name}, but it cannot score these rows: {champion.get('why') or 'no reason was recorded'}"


def _rule(judged: Mapping[str, Any]) -> Rule:
    rule = judged["rule"]
    metric = str(rule["metric"])
    outcome = str(judged["outcome"])
    figure = Figure.of(judged, str(judged.get("why") or ""))
    limit = finite(judged.get("limit"))
    champion = finite(judged.get("champion_value"))
    difference = judged.get("difference")
    attribute = str(judged.get("attribute") or rule.get("attribute") or "")
    relative = rule.get("worse_by_at_most") is not None
    picture = None
    if not relative and limit is not None:
        picture = against_limit(
            figure, limit, rule.get("at_least") is not None, words.bounds(metric), LOOKS[outcome], words.label(metric)
        )
    return Rule(
        metric=metric,
        meaning=words.meaning(metric),
        requirement=words.requirement(rule),
        attribute=attribute,
        outcome=outcome,
        look=LOOKS[outcome],
        figure=figure,
        champion=Figure(champion) if champion is not None else None,
        difference=Figure.of(difference) if difference else None,
        limit=limit,
        why=str(judged.get("why") or ""),
        picture=picture,
    )
