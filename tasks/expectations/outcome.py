"""What became of each expectation, as plain JSON that is the same for the same rows and checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.errors import EquipoiseError
from models.schema import Schema
from tasks.expectations.base import counted, percent
from tasks.expectations.suite import NotApplicable, Planned

EXAMPLES = 3


def outcomes(planned: Sequence[Planned], results: Sequence[Any]) -> list[dict[str, Any]]:
    """One entry per expectation, in the order of the plan; `results` are Great Expectations' in the same order."""
    return [_outcome(p, r) for p, r in zip(planned, results, strict=True)]


def summarize(
    found: Sequence[dict[str, Any]], idle: Sequence[NotApplicable], schema: Schema, rows: int
) -> dict[str, Any]:
    """The whole of results.json."""
    failed = [f for f in found if f["outcome"] == "fail"]
    counts = {
        "checks": len(found),
        "passed": len(found) - len(failed),
        "errors": sum(f["severity"] == "error" for f in failed),
        "warnings": sum(f["severity"] == "warning" for f in failed),
        "not_applicable": len(idle),
    }
    skipped = [
        {"check": i.check, "severity": i.severity, "outcome": "not applicable", "why": i.why, "position": i.position}
        for i in idle
    ]
    return {
        "dataset": schema.dataset,
        "rows": rows,
        "success": counts["errors"] == 0,
        "counts": counts,
        "checks": [*found, *skipped],
    }


def _outcome(planned: Planned, result: Any) -> dict[str, Any]:
    _require_computed(planned, result)
    observed, details = _observed(result.result)
    return {
        "check": planned.check,
        "severity": planned.severity,
        "column": planned.column,
        "attribute": planned.attribute,
        "expected": planned.expected,
        "observed": observed,
        "outcome": "pass" if result.success else "fail",
        "advice": None if result.success else planned.advice,
        "details": details,
        "position": planned.position,
    }


def _require_computed(planned: Planned, result: Any) -> None:
    """A check that cannot be computed has not passed and has not failed: it is a fault, and is said to be one."""
    info = result.exception_info or {}
    infos = [info] if "raised_exception" in info else list(info.values())
    raised = [i["exception_message"] for i in infos if i.get("raised_exception")]
    if raised:
        where = f" of column '{planned.column}'" if planned.column else ""
        raise EquipoiseError(
            f"validate: the check {planned.check}{where} could not be computed: {raised[0]}. "
            "Take the check out of `checks`, and please report this."
        )


def _observed(result: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """What was found, as a sentence, and the figures behind it."""
    details = result.get("details")
    if "unexpected_count" in result:
        return _unexpected(result)
    value = result.get("observed_value")
    if isinstance(details, dict) and "value" in details:
        return str(value), details
    if isinstance(details, dict) and "mismatched" in details:
        missing = sorted(map(str, details["mismatched"].get("missing", [])))
        told = f"missing: {', '.join(missing)}" if missing else f"all there, of {counted(len(value or []), 'column')}"
        return told, {"missing": missing}
    if isinstance(value, (int, float)):
        return f"{value:,}", {"value": value}
    return str(value), {"value": None if value is None else str(value)}


def _unexpected(result: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    count, rows = int(result["unexpected_count"]), int(result["element_count"])
    examples = list(dict.fromkeys(str(v) for v in result.get("partial_unexpected_list") or []))[:EXAMPLES]
    examples = [e for e in examples if e not in ("None", "nan", "NaT", "<NA>")]
    details = {"value": count, "rows": rows, "examples": examples}
    if count == 0:
        return f"all {counted(rows)}", details
    named = f", such as {', '.join(repr(e) for e in examples)}" if examples else ""
    return f"{counted(count)} of {rows:,} not so ({percent(count / rows)}){named}", details
