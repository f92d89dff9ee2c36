"""One training by several processes of a cluster (Ray Train): same rows, same model, up to rounding, as by one process."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch

from models.data import Split
from models.errors import EquipoiseError, InputError
from models.learners import learner
from models.learners.learner import Checkpoint, Input, Member, Outcome, Plan
from models.learners.net_model import NetModel
from models.learners.objective import prefixed
from models.learners.workers import Workers
from models.recipe import Recipe
from tasks.params import Resources
from tasks.search.cluster import cluster
from tasks.search.tables import Table
from tasks.stage import read_json, write_json

log = logging.getLogger("equipoise")

CHECKPOINT_SECONDS = 10.0
"""Seconds of training between two checkpoints. When they are made does not change the result."""

POLL_SECONDS = 0.2
REACHED = "reached.json"


@dataclass(frozen=True)
class Training:
    """What a worker needs besides the rows. `folder` is on a disk that all of them share; `threads` are each one's."""

    recipe: Recipe
    learner: str
    members: tuple[Member, ...]
    inputs: Input
    plan: Plan
    folder: str
    threads: int


def fit(
    training: Training,
    train: Split,
    valid: Split,
    resources: Resources,
    retries: int,
    told: Callable[[int], None],
) -> list[Outcome]:
    """Train the members with `resources.workers` processes; `told` hears how far they are.

    A worker or node that is lost is replaced as often as `retries` says, and all go on from the last checkpoint. Raises
    InputError where the cluster has too few cores.
    """
    folder = Path(training.folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tables = [Table.of(split.to("cpu")) for split in (train, valid)]
    wanted = resources.model_copy(update={"concurrent_trials": resources.workers})
    try:
        with cluster(wanted, training.plan.device, sum(t.size for t in tables), folder.parent / "ray.json") as shares:
            import ray

            there = ray.cluster_resources()
            for kind, share in (("CPU", shares.cpus), ("GPU", shares.gpus)):
                if share * resources.workers > there.get(kind, 0.0) + 1e-9:
                    raise InputError(
                        f"params.yaml: resources.workers: {resources.workers} workers of {share:g} {kind} each do not fit "
                        f"into a cluster that has {there.get(kind, 0.0):g}. Lower resources.workers, or add nodes."
                    )
            references = [ray.put(table) for table in tables]
            del tables
            result = _followed(lambda: _trained(training, references, resources.workers, shares, retries), folder, told)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _outcomes(result)


def _trained(training: Training, references: list[Any], workers: int, shares: Any, retries: int) -> tuple[str, bytes]:
    """Ray Train's side: what the first worker returns."""
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.config import LoggingConfig

    each = {"CPU": shares.cpus, **({"GPU": shares.gpus} if shares.gpus else {})}
    trainer = TorchTrainer(
        work,
        train_loop_config={"training": training, "tables": references},
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if shares.gpus >= 1 else "gloo"),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=shares.gpus > 0, resources_per_worker=each),
        run_config=RunConfig(
            name="workers", storage_path=training.folder, failure_config=FailureConfig(max_failures=retries),
            checkpoint_config=CheckpointConfig(num_to_keep=1), logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )  # fmt: skip
    try:
        returned: tuple[str, bytes] = trainer.fit().return_value
    except TrainingFailedError as error:
        raise _reason(error) from error
    return returned


def _reason(error: Exception) -> Exception:
    """What went wrong in a worker, as it would be raised in this process."""
    failures: Mapping[int, Exception] = getattr(error, "worker_failures", {})
    for failure in failures.values():
        cause = getattr(failure, "cause", None) or getattr(failure, "_base_exc", None) or failure
        if isinstance(cause, EquipoiseError):
            return cause
    said = str(next(iter(failures.values()), error)).strip().splitlines()
    return RuntimeError(f"the workers did not come to an end: {said[-1] if said else type(error).__name__}")


def _followed(call: Callable[[], Any], folder: Path, told: Callable[[int], None]) -> Any:
    """The call in a thread, where Ray leaves Ctrl-C to us, and how far it is as it goes on."""
    found: list[Any] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as error:  # noqa: BLE001  (raised again below, in the thread that waits)
            raised.append(error)

    thread = threading.Thread(target=run, name="ray-train", daemon=True)
    thread.start()
    known = 0
    while thread.is_alive():
        thread.join(POLL_SECONDS)
        reached = folder / REACHED
        if reached.exists() and (epoch := int(read_json(reached))) != known:
            known = epoch
            told(epoch)
    if raised:
        raise raised[0]
    return found[0]


def work(config: Mapping[str, Any]) -> tuple[str, bytes] | None:
    """One worker: the outcomes as JSON and safetensors, from the first one."""
    import ray
    import torch
    from ray import train

    from tasks.search.checkpoints import load_checkpoint, save_checkpoint

    given: Training = config["training"]
    torch.set_num_threads(given.threads)
    rows, valid = (ray.get(reference).split() for reference in config["tables"])
    workers, last = Workers(), time.monotonic()

    def on_epoch(epoch: int, make: Callable[[], Checkpoint]) -> None:
        nonlocal last
        if workers.rank == 0:
            write_json(Path(given.folder) / REACHED, epoch)
        # A report waits for all workers, so that all must make one.
        if not workers.first_says(time.monotonic() - last >= CHECKPOINT_SECONDS):
            return
        last = time.monotonic()
        if workers.rank:
            train.report({"epoch": epoch})
            return
        with tempfile.TemporaryDirectory() as directory:
            save_checkpoint(make(), Path(directory))
            train.report({"epoch": epoch}, checkpoint=train.Checkpoint.from_directory(directory))

    saved, resume = train.get_checkpoint(), None
    if saved is not None:
        with saved.as_directory() as directory:
            resume = load_checkpoint(Path(directory))
    plan = replace(given.plan, workers=workers)
    chosen = learner(given.learner)
    outcomes = chosen.fit(given.recipe, list(given.members), rows, valid, given.inputs, plan, resume, on_epoch)
    return None if workers.rank else _packed(outcomes)


def _packed(outcomes: list[Outcome]) -> tuple[str, bytes]:
    told, tensors = [], {}
    for position, o in enumerate(outcomes):
        model = o.model
        told.append({
            "error": o.error, "budget_used": o.budget_used, "history": o.history, "note": o.note,
            "architecture": model.architecture() if model is not None else None,
        })  # fmt: skip
        if model is not None:
            tensors.update({f"{position}/{k}": v.cpu().contiguous() for k, v in model.tensors().items()})
    return json.dumps(told), safetensors.torch.save(tensors)


def _outcomes(packed: tuple[str, bytes]) -> list[Outcome]:
    told, tensors = json.loads(packed[0]), safetensors.torch.load(packed[1])
    found = []
    for position, o in enumerate(told):
        architecture = o.pop("architecture")
        own = prefixed(tensors, f"{position}/")
        found.append(Outcome(NetModel(architecture, own) if architecture is not None else None, **o))
    return found
