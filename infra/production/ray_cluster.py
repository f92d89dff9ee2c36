"""A cluster of Ray on the loopback interface: a head and worker nodes, each a process of the supervisor."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from infra.production.settings import HOST, write_private
from infra.production.supervisor import Program, Supervisor, listens, run
from models.errors import EquipoiseError, InputError

RAY_SECONDS = 120.0


def variables_of(port: int, token: str, file: Path) -> dict[str, str]:
    """What leads to the cluster, with its token written to a file that only its owner reads."""
    write_private(file, token)
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(file),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's own switch: 127.0.0.1 is taken as it stands
        "RAY_ADDRESS": f"{HOST}:{port}",
    }


def see_given(root: Path) -> None:
    """Join the cluster of the user's, and leave it. Raises InputError with what to do, where runs could not either."""
    address = os.environ["RAY_ADDRESS"]
    host, _, port = address.removeprefix("ray://").rpartition(":")
    script = "import os, ray\nray.init(os.environ['RAY_ADDRESS'], logging_level='ERROR', log_to_driver=False)"
    why = "nobody listens there"
    if not port.isdigit() or listens(host, int(port)):
        try:
            run((sys.executable, "-c", script), folder=root)
        except EquipoiseError as error:
            why = str(error).strip().splitlines()[-1]
        else:
            return
    raise InputError(
        f"RAY_ADDRESS: no cluster of Ray could be joined at {address} ({why}). Start it, make this machine a node of it, and set "
        "RAY_AUTH_MODE=token if it asks for a token, as a cluster of `ray start` does. Or set ray: {use: local}."
    )


def start_node(
    role: str, cpus: float, variables: dict[str, str], root: Path, scratch: Path, supervisor: Supervisor
) -> None:
    """Start a `head` or a `worker` with so many CPUs, and wait for it. `scratch` is a short path, for the head's sockets."""
    name, port = f"ray-{role}", variables["RAY_ADDRESS"].rpartition(":")[2]
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    environment = {**variables, "PYTHONPATH": path}
    log = supervisor.logs / f"{name}.log"
    began = log.stat().st_size if log.exists() else 0
    words = (sys.executable, "-m", "infra.production.ray_node", f"--{role}", port, str(cpus), str(scratch))

    def ready() -> bool:
        return b": up with" in log.read_bytes()[began:]

    supervisor.start(Program(name, words, ready, environment, folder=root, patience=RAY_SECONDS))
