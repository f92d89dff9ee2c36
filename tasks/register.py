"""register: on a pass the model becomes a version in the registry and the champion; otherwise the reason is recorded."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.errors import InputError, RefusedError
from tasks.changes import keep
from tasks.identity import identity, redacted, sums
from tasks.learned import FILE as LEARNED
from tasks.params import OF_A_MODEL, Params
from tasks.rebuild.tables import recorded_outputs
from tasks.registry import CHAMPION, AliasMovedError, Registry, open_registry
from tasks.registry.names import check_name
from tasks.registry.seals import canonical
from tasks.scoring import device_of
from tasks.stage import Paths, Stage, read_json, write_json

log = logging.getLogger("equipoise")

COPIED = ("schema", "trials", "choice", "evaluation", "audit", "metrics", "profile", "verdict")
"""Inputs that go into the version as they are."""


def run(params: Params, inputs: Paths, outputs: Paths) -> None:
    """Write registration.json: registered or not, why not, the version, its digest and the champion before it.

    May be killed anywhere and run again: the version is found by its run, the champion is moved at most once.
    """
    verdict = read_json(inputs["verdict"])
    if verdict["verdict"] != "pass":
        log.info("register: not registered, the verdict is %s", verdict["verdict"])
        why = f"The verdict is {verdict['verdict']}: {verdict['summary']}"
        write_json(outputs["registration"], {"registered": False, "why": why})
        return
    root = outputs["registration"].parents[2]
    registry = open_registry(params.registry.url, root)
    name = check_name(params.model_name)
    write_json(outputs["registration"], register(registry, name, params, inputs, root))


def register(registry: Registry, name: str, params: Params, inputs: Paths, root: Path) -> dict[str, Any]:
    """Publish the version and make it champion, if the champion is still the one that the verdict compared it with."""
    verdict = read_json(inputs["verdict"])
    judged = verdict["champion"]["version"] if verdict.get("champion") else None
    record = describe(params, inputs, root)
    run_id = run_identity(inputs["train"] / "predictor", record["data"])
    known = registry.version_of_run(name, run_id)
    present = registry.aliases(name).get(CHAMPION)
    if present != judged and (known is None or present != known.version):
        raise RefusedError(stale(name, judged, present))
    choice, metrics = read_json(inputs["choice"]), read_json(inputs["metrics"])
    summary = {
        "dataset": read_json(inputs["schema"])["dataset"],
        "recipe": choice["recipe"],
        "learner": choice["learner"],
        **({"champion": choice["champion"]} if "champion" in choice else {}),
        "verdict": verdict["verdict"],
        "metrics": metrics,
        "commit": record["code"]["commit"],
        "dirty": record["code"]["dirty"],
    }
    if record["code"]["dirty"]:
        log.warning(
            "register: the working copy differs from its commit (%s); the version says so, and keeps what differs",
            ", ".join(record["code"]["changed"][:5]),
        )
    published = known or registry.publish(name, files_of(inputs, params, record, root), run_id, summary)
    log.info("register: %s@%s %s", name, published.version, "published" if published.created else "is there already")
    try:
        registry.promote(name, published.version, CHAMPION, expected=judged, why=verdict["summary"])
    except AliasMovedError as error:
        raise RefusedError(
            f"{stale(name, judged, registry.aliases(name).get(CHAMPION))} {name}@{published.version} is in the registry all the "
            "same, without an alias."
        ) from error
    return {
        "registered": True,
        "name": name,
        "version": published.version,
        "digest": published.digest,
        "previous_champion": judged if judged != published.version else None,
    }


def stale(name: str, judged: str | None, present: str | None) -> str:
    """Why a verdict no longer counts."""
    return (
        f"register: the verdict compares with {f'champion {name}@{judged}' if judged else 'no champion'}, but the champion is now "
        f"{present or 'unset'}: the verdict is about another champion. Judge again: run the stage 'gate' (dvc repro --force "
        "--single-item gate), then the rest."
    )


def run_identity(predictor: Path, data: Mapping[str, Any]) -> str:
    """What makes two registrations the same: the same predictor, bit for bit, from the same tables.

    Parameters that changed neither, the policy included, do not make another version of a model.
    """
    files = {
        p.relative_to(predictor).as_posix(): sums(p)["sha256"] for p in sorted(predictor.rglob("*")) if p.is_file()
    }
    if not files:
        raise InputError(f"{predictor} holds no predictor. Run the stage 'train' again.")
    tables = {name: table["sha256"] for name, table in data["tables"].items()}
    return hashlib.sha256(canonical({"predictor": files, "tables": tables})).hexdigest()


def describe(params: Params, inputs: Paths, root: Path) -> dict[str, Any]:
    """The identity of what was trained."""
    tables = {inputs[name].name: inputs[name] for name in ("rows", "split")}
    seeds = {"seed": params.seed, "refits": [s["seed"] for s in read_json(inputs["train"] / "summary.json")["seeds"]]}
    source = read_json(inputs["card"])["source"]
    found = identity(root, params_json(params), tables, source, seeds, device_of(params.resources.device))
    found["data"]["outputs"] = recorded_outputs(root)
    return found


def params_json(params: Params) -> dict[str, Any]:
    """All of params.yaml as JSON, without credentials."""
    content: dict[str, Any] = redacted(params.model_dump(mode="json"))
    return content


def files_of(inputs: Paths, params: Params, record: Mapping[str, Any], root: Path) -> dict[str, Path | bytes]:
    """Everything that goes into the version: path in it -> where to take it from."""
    predictor = inputs["train"] / "predictor"
    files: dict[str, Path | bytes] = {
        f"predictor/{p.relative_to(predictor).as_posix()}": p for p in sorted(predictor.rglob("*")) if p.is_file()
    }
    files |= {f"{name}.json": inputs[name] for name in COPIED}
    files |= {
        "start.json": inputs["start"] / "start.json",
        "train.json": inputs["train"] / "summary.json",
        LEARNED: inputs["train"] / LEARNED,
        "report.html": inputs["report"],
    }
    files |= {"card.json": _json(redacted(read_json(inputs["card"])))}
    files |= {"params.json": _json(params_json(params)), "identity.json": _json(record)}
    if record["code"]["dirty"]:
        files["changes.json"] = _json(keep(root, record["code"]["changed"]))
    return files


def _json(value: Any) -> bytes:
    return canonical(value) + b"\n"


STAGE = Stage(
    name="register",
    run=run,
    sections=OF_A_MODEL,
    inputs={
        "rows": "data/ingest/rows.parquet",
        "schema": "data/ingest/schema.json",
        "card": "data/ingest/card.json",
        "split": "data/split/split.parquet",
        "start": "data/start",
        "trials": "data/tune/trials.json",
        "choice": "data/tune/choice.json",
        "train": "data/train",
        "evaluation": "data/evaluate/evaluation.json",
        "metrics": "data/evaluate/metrics.json",
        "profile": "data/evaluate/profile.json",
        "audit": "data/audit/audit.json",
        "verdict": "data/gate/verdict.json",
        "report": "data/report/report.html",
    },
    outputs={"registration": "data/register/registration.json"},
)

if __name__ == "__main__":
    STAGE.main()
