"""A stage that trains, carried out within a cluster that this machine is no node of: Ray's client (`ray://HOST:PORT`).

A search follows its trials from within the cluster, which a client outside of it cannot. So the stage itself goes there, as
a task that takes no core and has the stage's trials beside it; this process waits for it and passes on what it says. The
working copy is on a folder that this machine and the nodes share, at the same path: rows, results and the log pass by it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from models.errors import EquipoiseError, InputError
from tasks.params import Params, Resources
from tasks.search.cluster import address_of, prepare_environment
from tasks.stage import Paths

log = logging.getLogger("equipoise")

SCHEME = "ray://"
POLL_SECONDS = 0.2
STOPPING_SECONDS = 10.0
"""For so long the stage may store what it has when it is stopped."""

ATTEMPTS = 3

HANDED_ON = ("EQUIPOISE_REMOTE",)
"""Of this process's environment, what the stage is told. Credentials are the nodes' own."""


def is_outside(resources: Resources) -> bool:
    """Whether trials run in a cluster that this machine is no node of."""
    address = address_of(resources)
    return address is not None and address.startswith(SCHEME)


def carry_out(module: str, params: Params, inputs: Paths, outputs: Paths) -> None:
    """Have the stage that stands in `module` carried out within the cluster; it writes its outputs where it would here.

    Raises what the stage raises, and InputError where the cluster is not to be reached or does not see the working copy.
    """
    address = address_of(params.resources)
    assert address is not None  # the caller has asked `is_outside`
    folder = next(iter(outputs.values())).resolve().parents[1] / ".equipoise" / "relay"
    folder.mkdir(parents=True, exist_ok=True)
    said = folder / f"{uuid.uuid4().hex}.jsonl"
    said.touch()
    root = str(Path(__file__).resolve().parents[2])
    order = {
        "module": module,
        "root": root,
        "params": params.sections(),
        "inputs": {name: str(path.resolve()) for name, path in inputs.items()},
        "outputs": {name: str(path.resolve()) for name, path in outputs.items()},
        "said": str(said),
        "environment": {name: os.environ[name] for name in HANDED_ON if name in os.environ},
    }
    try:
        with _connected(address, root) as ray:
            log.info("%s: carried out within the cluster at %s", module.rpartition(".")[2], address)
            answer = json.loads(
                _followed(ray, ray.remote(num_cpus=0, max_retries=0)(_task()).remote(json.dumps(order)), said)
            )
    finally:
        said.unlink(missing_ok=True)
    if answer is not None:
        raise _error(answer, address)


@contextlib.contextmanager
def _connected(address: str, root: str) -> Iterator[Any]:
    """Ray's client, and the path on which the cluster's processes find this code."""
    prepare_environment(address)
    import ray
    import ray.util
    from ray.job_config import JobConfig

    try:
        logging.getLogger("ray").setLevel(logging.CRITICAL)
        way = JobConfig(_py_driver_sys_path=[root])
        for attempt in range(1, ATTEMPTS + 1):
            try:
                ray.util.connect(address.removeprefix(SCHEME), job_config=way, connection_retries=1)
                break
            except ConnectionAbortedError:  # the process that the head starts for each client does not always come up
                if attempt == ATTEMPTS:
                    raise
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        ray.util.disconnect()  # else this process would go on as a client of nothing
        raise InputError(
            f"params.yaml: resources.ray: no cluster of Ray answers at {address} ({str(error).strip().splitlines()[-1]}). "
            "Start its head with --ray-client-server-port, correct the port (Ray's own choice is 10001); set RAY_AUTH_MODE=token "
            "and the cluster's token if it asks for one; or set resources.ray to local."
        ) from error
    try:
        yield ray
    finally:
        ray.util.disconnect()


def _followed(ray: Any, reference: Any, said: Path) -> str:
    """What the task returns; what it says in the meantime is passed on."""
    position = 0
    try:
        done: list[Any] = []
        while not done:
            done, _ = ray.wait([reference], timeout=POLL_SECONDS)
            position = _pass_on(said, position)
        return str(ray.get(reference))
    except KeyboardInterrupt:
        ray.cancel(reference)
        until = time.monotonic() + STOPPING_SECONDS
        while time.monotonic() < until and not ray.wait([reference], timeout=POLL_SECONDS)[0]:
            position = _pass_on(said, position)
        _pass_on(said, position)
        raise
    except ray.exceptions.RayError as error:
        raise EquipoiseError(
            f"the cluster lost the stage ({str(error).strip().splitlines()[-1]}). Run again: finished trials are kept."
        ) from error


def _pass_on(said: Path, position: int) -> int:
    """Log the whole lines from this position on, and say where the next one begins."""
    with said.open("rb") as lines:
        lines.seek(position)
        for line in lines:
            if not line.endswith(b"\n"):
                break
            position += len(line)
            record = json.loads(line)
            log.log(record["level"], "%s", record["message"])
    return position


def _task() -> Callable[[str], str]:
    """What the cluster runs. It is sent as code, as nodes that do not see the working copy cannot import it."""

    def within(order: str) -> str:
        import json
        import os
        import sys

        given = json.loads(order)
        if not os.path.exists(given["said"]):
            return json.dumps({"unseen": os.path.dirname(given["said"]), "node": os.uname().nodename})
        sys.path.insert(0, given["root"])
        from tasks.search.relay import perform

        return perform(given)

    return within


def perform(order: dict[str, Any]) -> str:
    """Within the cluster: the stage, and as JSON what was wrong with its input, or null."""
    import importlib

    import ray

    os.environ.update(order["environment"])
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        # Ray hides GPUs from a task that takes none, and the stage asks whether there are some for its trials.
        del os.environ["CUDA_VISIBLE_DEVICES"]
    address = ray.get_runtime_context().gcs_address
    prepare_environment(address)
    params = Params.of_sections(order["params"])
    params = params.model_copy(update={"resources": params.resources.model_copy(update={"ray": address})})
    inputs, outputs = ({name: Path(path) for name, path in order[key].items()} for key in ("inputs", "outputs"))
    log.setLevel(logging.INFO)
    handler = _Said(Path(order["said"]))
    log.addHandler(handler)
    try:
        importlib.import_module(order["module"]).run(params, inputs, outputs)
    except EquipoiseError as error:
        return json.dumps({"error": type(error).__name__, "message": str(error)})
    finally:
        log.removeHandler(handler)
    return "null"


class _Said(logging.Handler):
    """A log as lines of JSON in a file that the client reads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        line = json.dumps({"level": record.levelno, "message": record.getMessage()})
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(f"{line}\n")


def _error(answer: dict[str, str], address: str) -> EquipoiseError:
    """What went wrong within the cluster, as it would be raised here."""
    import models.errors

    if "unseen" in answer:
        return InputError(
            f"params.yaml: resources.ray: the node {answer['node']} of the cluster at {address} does not see {answer['unseen']}. "
            "Put the working copy on a folder that this machine and all nodes share, at the same path."
        )
    kind = getattr(models.errors, answer["error"], EquipoiseError)
    return kind(answer["message"]) if issubclass(kind, EquipoiseError) else EquipoiseError(answer["message"])
