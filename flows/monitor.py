"""The monitor as a flow: look at rows that came later, show it in the UI, and trigger what it asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.artifacts import page
from flows.concealed import conceal_parameters, concealed
from flows.respond import respond
from tasks.identity import redacted
from tasks.monitoring.seen import Seen
from tasks.monitoring.watch import PAGE, Look, watch
from tasks.overrides import effective


@flow(name="monitor", persist_result=False, validate_parameters=True)
def monitor(
    reference: str | None = None,
    sources: list[str] | None = None,
    labels: str | None = None,
    since: str | None = None,
    until: str | None = None,
    overrides: dict[str, Any] | None = None,
    act: bool = False,
    params_file: str | None = None,
) -> str:
    """Hold later rows against those that the champion was judged on; trigger what the policy asks for.

    `sources` are files, patterns, s3:// addresses or prediction logs; none: the months of the data set of params.yaml from
    `since` to `until`. `params_file` says what differs from params.yaml, here and in what is triggered; `overrides` are those
    of the retraining.
    """
    with concealed():
        conceal_parameters()
        root, file = Path.cwd(), Path(params_file) if params_file else None
        params = effective(root, params_file=file).params
        look = Look(tuple(sources or ()), Path(labels) if labels else None, since, until)
        seen = watch(reference or params.model_name, look, params, root)
        show(seen)
        return respond(seen, seen.version.partition("@")[0], overrides, act, file)


def show(seen: Seen) -> None:
    """The look as artifacts of the run: a page of the outcome, and a table of the partitions."""
    lines = [f"# {seen.version}: {seen.action}", "", *(f"- {reason}" for reason in seen.reasons)]
    lines += ["", f"Page: `{(seen.folder / PAGE).resolve()}`"]
    page("monitor", "\n".join(lines), f"{seen.version}: {seen.action}")
    table = [
        {"partition": p["partition"], "rows": p["rows"], "labelled": p["labelled"], "asks for": p["action"],
         "why": p["note"] or "; ".join(p["reasons"])}
        for p in seen.partitions
    ]  # fmt: skip
    create_table_artifact(
        key="partitions", table=redacted(table), description="What the monitor found, partition by partition."
    )
