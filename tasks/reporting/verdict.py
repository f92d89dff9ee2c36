"""The verdict: one sentence, then every rule with its value, interval, limit, outcome and reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tasks.reporting import words
from tasks.reporting.interval_chart import against_limit
from tasks.reporting.numbers import Figure, count, finite, plural

HEADLINES = {
    "pass": "Passed: this model may be registered.",
    "fail": "Refused: this model must not be registered.",
    "insufficient evidence": "Not decided: there is insufficient evidence.",
}
LOOKS = {"fail": "fail", "insufficient evidence": "unknown", "pass": "pass", "not applicable": "idle"}
"""How each outcome of a rule looks, in the order in which the rules are shown."""
TALLY = {
    "fail": "failed",
    "insufficient evidence": "without enough evidence",
    "pass": "passed",
    "not applicable": "not applicable yet",
}


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
    """The verdict with rules that failed first, then those without evidence, those that passed, and those that do not apply."""
    rules = [_rule(r) for r in verdict["rules"]]
    order = tuple(LOOKS)
    found = Counter(r.outcome for r in rules)
    outcome = str(verdict["verdict"])
    return Verdict(
        outcome=outcome,
        look=LOOKS[outcome],
        headline=HEADLINES[outcome],
        summary=str(verdict.get("summary") or ""),
        tally=tuple((LOOKS[o], plural(found[o], "rule"), TALLY[o]) for o in order if found[o]),
        champion=_champion(verdict),
        rules=tuple(sorted(rules, key=lambda r: order.index(r.outcome))),
    )


def _champion(verdict: Mapping[str, Any]) -> str:
    champion = verdict.get("champion")
    if not champion:
        return "There is no champion yet: this is the first model of this name, so it is judged by the absolute rules alone."
    name = f"The champion is version {champion.get('version')}"
    if champion.get("fits", True):
        return f"{name}. Both models were scored on the same {count(champion['rows']) + ' ' if champion.get('rows') else ''}test rows."
    return f"{name}, but it cannot be compared on these rows: {champion.get('why') or 'no reason was recorded'}"


def _rule(judged: Mapping[str, Any]) -> Rule:
    rule = judged["rule"]
    metric, why = str(rule["metric"]), str(judged.get("why") or "")
    outcome = str(judged["outcome"]) if judged.get("applies", True) else "not applicable"
    champion, difference = finite(judged.get("champion_value")), judged.get("difference")
    figure = Figure.of(judged, why)
    return Rule(
        metric=metric,
        meaning=words.meaning(metric),
        requirement=words.requirement(rule),
        attribute=str(judged.get("attribute") or rule.get("attribute") or ""),
        outcome=outcome,
        look=LOOKS[outcome],
        figure=figure,
        champion=Figure(champion) if champion is not None else None,
        difference=Figure.of(difference) if difference else None,
        why=why,
        picture=_picture(rule, figure, difference, LOOKS[outcome]),
    )


def _picture(rule: Mapping[str, Any], figure: Figure, difference: Mapping[str, Any] | None, look: str) -> Markup | None:
    """The figure against its limit; of a rule against the champion the difference against what is allowed."""
    metric = str(rule["metric"])
    allowed = finite(rule.get("worse_by_at_most"))
    if allowed is None:
        at_least = rule.get("at_least") is not None
        limit = float(rule["at_least"] if at_least else rule["at_most"])
        return against_limit(figure, limit, at_least, words.bounds(metric), look, words.label(metric))
    if not difference:
        return None
    higher = bool(words.higher_is_better(metric))
    name = f"{words.label(metric)}, difference from the champion"
    return against_limit(Figure.of(difference), -allowed if higher else allowed, higher, (None, None), look, name)
