"""One look of the monitor: every partition examined, the result written as JSON and as a page."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.judging import terms_of
from tasks.monitor import Watched, examine, overall_action, previous_of, watched
from tasks.monitoring.page import render
from tasks.monitoring.partitions import Partition, by_month, partitions, read_labels
from tasks.monitoring.seen import FOLDER, Seen
from tasks.params import Params
from tasks.registry import open_registry
from tasks.stage import replacing, write_json

log = logging.getLogger("equipoise")

RESULT, PAGE = "monitor.json", "monitor.html"
DOWNLOADS = Path(".equipoise") / "downloads" / "monitor"


@dataclass(frozen=True)
class Look:
    """What is looked at: files, patterns, addresses and prediction logs, or the months of the data set of params.yaml."""

    sources: Sequence[str] = ()
    labels: Path | None = None
    since: str | None = None
    until: str | None = None


def watch(reference: str, look: Look, params: Params, root: Path, url: str | None = None) -> Seen:
    """Examine every partition and write monitor.json and monitor.html below data/monitor. Raises InputError for what does not fit."""
    registry = open_registry(url or params.registry.url, root)
    champion = watched(registry, reference)
    previous = previous_of(registry, champion.label)
    terms = terms_of(params.evaluate, params.seed)
    found = []
    for partition in _partitions(champion, look, params, root):
        one = examine(champion, partition, params.monitor, terms, previous)
        log.info("monitor: %s: %s rows, %s", partition.name, f"{len(partition):,}", _said(one))
        found.append(one)
    seen = Seen(champion.label, overall_action(found), found, root / FOLDER)
    write_json(seen.folder / RESULT, {"version": seen.version, "action": seen.action, "partitions": found})
    with replacing(seen.folder / PAGE) as temporary:
        temporary.write_text(render(seen.version, seen.action, found, params), encoding="utf-8")
    return seen


def _partitions(champion: Watched, look: Look, params: Params, root: Path) -> Iterable[Partition]:
    predictor = champion.predictor
    labels = read_labels(look.labels, predictor.schema) if look.labels is not None else None
    if look.sources:
        return partitions(look.sources, predictor, champion.label, root / DOWNLOADS, labels)
    from tasks.ingest import ingest
    from tasks.sources.files import Locations

    whole = params.model_copy(update={"data": params.data.model_copy(update={"since": None, "until": None})})
    return by_month(ingest(whole, Locations.of_environment()).rows, predictor, look.since, look.until)


def _said(found: dict[str, Any]) -> str:
    return found["note"] or (
        f"{found['action']}: {'; '.join(found['reasons'])}" if found["reasons"] else "nothing to do"
    )
