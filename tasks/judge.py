"""The gate's decision as a pure function: (candidate, champion or none, policy) -> verdict.

A verdict always exists. Without a champion the rules against it do not apply, and say so; with one that cannot score
these rows they lack the evidence; a rule whose figure is not defined or rests on too few rows lacks it as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from models.errors import InputError
from models.metrics.bootstrap import generator
from models.metrics.figures import Terms, overall_figures
from models.metrics.gaps import Counted, gap_figure
from models.metrics.names import BY_NAME, compares_groups, names_for, objection
from models.metrics.paired import Comparison, paired_difference
from models.metrics.scored import Grouping
from models.schema import Task
from tasks.judging import Scores
from tasks.params import Gates, Rule

Decision = Literal["pass", "fail", "insufficient evidence"]

_SLACK = 1e-9
"""What rounding may add: 0.05 - 0.03 keeps a limit of 0.02."""


@dataclass(frozen=True)
class Unfit:
    """A champion that cannot score these rows, and why."""

    why: str


Champion = Scores | Unfit | None


@dataclass(frozen=True)
class Measured:
    """A value with its interval; None where there is none."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Outcome:
    """One rule, judged for all rows or for one attribute.

    `held` tells of a rule without enough evidence that what could be judged keeps the limit: some groups are too small,
    the others are fine. `applies` is False for a rule against a champion that there is not yet.
    """

    rule: Rule
    attribute: str | None
    outcome: Decision
    why: str
    figure: Measured = Measured()
    rows: int = 0
    champion_value: float | None = None
    difference: Measured | None = None
    held: bool = False
    applies: bool = True

    @property
    def limit(self) -> float:
        """The number in the rule."""
        return next(x for x in (self.rule.at_least, self.rule.at_most, self.rule.worse_by_at_most) if x is not None)


@dataclass(frozen=True)
class Verdict:
    """The decision, the sentence that explains it, and every rule."""

    verdict: Decision
    summary: str
    outcomes: tuple[Outcome, ...]


def suited(policy: Gates, task: Task) -> tuple[Gates, str]:
    """The rules on metrics that this kind of target has, and a sentence about those left out.

    A rule that does not suit is an InputError unless the policy leaves such rules out; so is a policy of which none suits.
    """
    objections = [objection(rule.metric, task) for rule in policy.rules]
    for position, found in enumerate(objections):
        if found and policy.unsuitable == "error":
            raise InputError(f"params.yaml: gates.rules[{position}].metric: {found}")
    rules = tuple(rule for rule, found in zip(policy.rules, objections, strict=True) if not found)
    if not rules:
        raise InputError(
            f"params.yaml: gates.rules: none of the metrics suits a {task} target, so nothing would be judged. Add a rule on "
            f"one of {', '.join(names_for(task))}."
        )
    away = list(dict.fromkeys(r.metric for r, found in zip(policy.rules, objections, strict=True) if found))
    words = (
        f"Rules left out, on metrics that a {task} target does not have: {', '.join(map(_title, away))}."
        if away
        else ""
    )
    return policy.model_copy(update={"rules": rules}), words


def judge(
    candidate: Scores, champion: Champion, policy: Gates, terms: Terms, compared: Scores | None = None
) -> Verdict:
    """Judge every rule, then the model. The champion's scores are of the same rows in the same order.

    `compared` are the candidate's scores on the rows on which the champion is, where these are not all. Randomness comes
    from `terms.seed` alone. Raises InputError for a policy without rules, and for a rule that names an attribute that these
    data do not have.
    """
    if not policy.rules:
        raise InputError("gates.rules: a policy with no rules would let every model through. Add at least one rule.")
    beside = compared or candidate
    if isinstance(champion, Scores) and not np.array_equal(champion.scored.labels, beside.scored.labels):
        raise ValueError("candidate and champion must be scored on the same rows")
    outcomes = tuple(
        _judge_rule(rule, grouping, scores, champion, terms)
        for rule in policy.rules
        for scores in (candidate if rule.worse_by_at_most is None else beside,)
        for grouping in _subjects(rule, scores)
    )
    decision = _decide(outcomes, policy)
    return Verdict(decision, _summary(decision, outcomes, policy), outcomes)


def _subjects(rule: Rule, candidate: Scores) -> Sequence[Grouping | None]:
    """What a rule is judged for: all rows, the attribute it names, or each attribute; [None] if there is no attribute."""
    if not compares_groups(rule.metric):
        return [None]
    if rule.attribute is not None:
        return [candidate.grouping(rule.attribute)]
    return candidate.groupings or [None]


def _judge_rule(rule: Rule, grouping: Grouping | None, candidate: Scores, champion: Champion, terms: Terms) -> Outcome:
    if compares_groups(rule.metric) and grouping is None:
        why = f"{_title(rule.metric)} compares groups, and these data declare no sensitive attribute."
        return Outcome(rule, None, "insufficient evidence", why)
    measured = _measure(rule, grouping, candidate, terms)
    if rule.worse_by_at_most is None:
        return _against_limit(measured, terms)
    if champion is None:
        why = "Not applicable: this is the first model, and there is no champion to compare it with."
        return replace(measured, outcome="pass", why=why, applies=False)
    if isinstance(champion, Unfit):
        why = f"The champion cannot be compared on these rows: {champion.why}"
        return replace(measured, outcome="insufficient evidence", why=why, held=False)
    return _against_champion(measured, grouping, candidate, champion, terms)


def _measure(rule: Rule, grouping: Grouping | None, scores: Scores, terms: Terms) -> Outcome:
    """The candidate's figure, as a rule without enough evidence; `why` says what is missing, empty when nothing is."""
    rows = len(scores.scored)
    if grouping is None:
        figure = overall_figures(scores.scored, scores.classes, terms, [rule.metric])[rule.metric]
        found, why, held = Measured(figure.value, figure.low, figure.high), figure.note, False
    else:
        gap = gap_figure(rule.metric, scores.scored, scores.classes, Counted.of(scores.scored, grouping, terms), terms)
        left_out = "; ".join(f"{group}: {reason}" for group, reason in gap.insufficient.items())
        found, held = Measured(gap.value, gap.low, gap.high), gap.value is not None
        rows = gap.rows
        why = left_out if held else f"{gap.note} ({left_out})" if left_out else gap.note
    attribute = grouping.name if grouping is not None else None
    return Outcome(rule, attribute, "insufficient evidence", why, found, rows, held=held)


def _against_limit(measured: Outcome, terms: Terms) -> Outcome:
    """at_least or at_most, of the estimate or of the whole interval."""
    rule, figure = measured.rule, measured.figure
    if figure.value is None or (measured.why and not measured.held):
        return replace(measured, why=f"{_subject(measured)} cannot be judged: {measured.why}.", held=False)
    least = rule.at_least is not None
    judged = figure.value if rule.judge_by == "estimate" else figure.low if least else figure.high
    if judged is None:
        return replace(measured, why=f"{_subject(measured)} has no interval to be judged by.", held=False)
    kept = judged >= measured.limit - _SLACK if least else judged <= measured.limit + _SLACK
    words = f"{_subject(measured)} is {_number(figure.value)}{_interval(figure, terms)}"
    wanted = f"{'at least' if least else 'at most'} {measured.limit:g}"
    return _decided(measured, kept, f"{words}; {wanted} is asked{_by(rule)}.")


def _against_champion(
    measured: Outcome, grouping: Grouping | None, candidate: Scores, champion: Scores, terms: Terms
) -> Outcome:
    """worse_by_at_most, of the estimate or of the whole interval of the paired difference."""
    rule = measured.rule
    counted = Counted.of(candidate.scored, grouping, terms) if grouping is not None else None
    what = Comparison(
        rule.metric,
        terms.bins,
        grouping,
        counted.masks if counted else None,
        counted.enough if counted else None,
        terms.beta,
    )
    rng = generator(terms.seed, "paired", measured.attribute or "", rule.metric)
    value, found = paired_difference(what, candidate.scored, champion.scored, terms.draws, terms.confidence, rng)
    if not np.isfinite(value) or measured.figure.value is None:
        reason = measured.why or "the figure is not defined for both models"
        return replace(
            measured, why=f"{_subject(measured)} cannot be compared with the champion: {reason}.", held=False
        )
    interval = (float(found.low), float(found.high)) if np.isfinite(found.low) else (None, None)
    difference = Measured(value, *interval)
    compared = replace(measured, champion_value=measured.figure.value - value, difference=difference)
    if measured.why and not measured.held:
        return replace(compared, why=f"{_subject(measured)} cannot be judged: {measured.why}.")
    higher = BY_NAME[rule.metric].better == "higher"
    judged = value if rule.judge_by == "estimate" else difference.low if higher else difference.high
    if judged is None:
        return replace(
            compared, why=f"The difference in {_title(rule.metric)} has no interval to be judged by.", held=False
        )
    worse = -judged if higher else judged
    words = (
        f"{_subject(measured)} is {_number(measured.figure.value)}, the champion's {_number(compared.champion_value)}: "
        f"a difference of {_number(value, sign=True)}{_interval(difference, terms)}"
    )
    return _decided(
        compared,
        worse <= measured.limit + _SLACK,
        f"{words}; worse by at most {measured.limit:g} is allowed{_by(rule)}.",
    )


def _decided(measured: Outcome, kept: bool, why: str) -> Outcome:
    """A broken limit fails; a kept one passes, unless groups are left that could not be judged."""
    if not kept:
        return replace(measured, outcome="fail", why=_with_left_out(why, measured.why), held=False)
    if measured.why:
        return replace(measured, outcome="insufficient evidence", why=_with_left_out(why, measured.why), held=True)
    return replace(measured, outcome="pass", why=why, held=False)


def _decide(outcomes: Sequence[Outcome], policy: Gates) -> Decision:
    """Any failed rule fails the model. Rules without evidence stop it if the policy says so, or if nothing else was judged."""
    if any(o.outcome == "fail" for o in outcomes):
        return "fail"
    if all(o.outcome == "pass" for o in outcomes):
        return "pass"
    judged = any(o.outcome == "pass" or o.held for o in outcomes)
    return "pass" if judged and policy.insufficient_evidence == "warn" else "insufficient evidence"


def _summary(decision: Decision, outcomes: Sequence[Outcome], policy: Gates) -> str:
    """One sentence."""
    failed = [o for o in outcomes if o.outcome == "fail"]
    unknown = [o for o in outcomes if o.outcome == "insufficient evidence"]
    idle = sum(not o.applies for o in outcomes)
    total = len(outcomes) - idle
    compare = "compares" if idle == 1 else "compare"
    first = f"; {idle} more {compare} with a champion, and this is the first model" if idle else ""
    if not total:
        return f"No rule applies yet: all {idle} compare with a champion, and this is the first model."
    if failed:
        return f"{len(failed)} of {total} rules failed: {_names(failed)}."
    if not unknown:
        return f"All {total} rules passed{first}." if total > 1 else f"The one rule passed{first}."
    could_not = f"{len(unknown)} of {total} rules could not be judged in full: {_names(unknown)}"
    if decision == "pass":
        return f"No rule failed; {could_not}{first}."
    stops = (
        "and the policy does not accept that"
        if policy.insufficient_evidence == "fail"
        else "and nothing else was judged"
    )
    return f"{could_not[0].upper()}{could_not[1:]}, {stops}."


def _names(outcomes: Sequence[Outcome]) -> str:
    against = " against the champion"
    shown = [_subject(o) + (against if o.rule.worse_by_at_most is not None else "") for o in outcomes[:4]]
    more = len(outcomes) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _subject(outcome: Outcome) -> str:
    return _title(outcome.rule.metric) + (f" by {outcome.attribute}" if outcome.attribute else "")


def _title(metric: str) -> str:
    return BY_NAME[metric].title


def _by(rule: Rule) -> str:
    return " of the whole interval" if rule.judge_by == "interval" else ""


def _with_left_out(why: str, left_out: str) -> str:
    return f"{why} Not judged, for too few rows: {left_out}." if left_out else why


def _interval(figure: Measured, terms: Terms) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f" ({100 * terms.confidence:g}% interval {_number(figure.low)} to {_number(figure.high)})"


def _number(value: float | None, sign: bool = False) -> str:
    if value is None:
        return "not defined"
    return f"{value:+.4g}" if sign else f"{value:.4g}"
