"""The set as a whole: what it needs, what is started in which order, and what the others must know to meet it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from infra.production import ceph, orchestration, postgres, ray_cluster, storage
from infra.production.settings import DATABASE, HOST, Settings, secrets_in, write_environment
from infra.production.supervisor import Supervisor, listens
from models.errors import BusyError, InputError

ENVIRONMENT = "environment"


@contextlib.contextmanager
def production(
    settings: Settings, root: Path, say: Callable[[str], None]
) -> Iterator[tuple[Supervisor, dict[str, str]]]:
    """Start the set, and end it with the block; its supervisor, and the variables that lead to it.

    Raises InputError for what is missing or taken, BusyError when the state folder is in use.
    """
    check(settings)
    if settings.ray.use == "given":
        ray_cluster.see_given(root)
    state = settings.state
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o711)  # PostgreSQL's user goes through to its own folder, and sees nothing else
    scratch = tempfile.mkdtemp(prefix="equipoise-", dir="/tmp")  # sockets of Ray: their paths must be short
    try:
        with _alone(state), Supervisor(state / "logs", say) as supervisor:
            supervisor.logs.chmod(0o700)
            variables = _start(settings, root, Path(scratch), supervisor)
            write_environment(state / ENVIRONMENT, variables)
            yield supervisor, variables
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _start(settings: Settings, root: Path, scratch: Path, supervisor: Supervisor) -> dict[str, str]:
    secrets = secrets_in(settings.state)
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    variables = {"PYTHONPATH": path, **storage.start(settings, supervisor), **storage.work(settings.s3)}
    if settings.prefect.use == "local":
        given = settings.postgres.use == "given"
        database = os.environ[DATABASE] if given else postgres.start(settings, secrets, supervisor)
        variables |= orchestration.start_server(settings, database, supervisor)
    else:
        variables |= orchestration.given_server()
    if settings.ray.use == "local":
        variables |= _start_ray(settings, secrets.ray, root, scratch, supervisor)
    orchestration.deploy(settings, root, variables)
    orchestration.start_worker(settings, root, variables, supervisor)
    return variables


def _start_ray(settings: Settings, token: str, root: Path, scratch: Path, supervisor: Supervisor) -> dict[str, str]:
    variables = ray_cluster.variables_of(settings.ray.port, token, settings.state / "ray.token")
    for role in ("head", "worker"):
        ray_cluster.start_node(role, settings.ray.cpus_per_node, variables, root, scratch, supervisor)
    return variables


def check(settings: Settings) -> None:
    """Everything that is missing or taken, before anything starts. Raises InputError with what to do."""
    needed = packages_missing(settings)
    if needed:
        raise InputError(
            f"Not installed: {', '.join(needed)}. On Debian: apt-get install --no-install-recommends {' '.join(needed)} "
            "(or: make production INSTALL=1). Or name yours in infra/production.yaml, with `use: given`."
            + (" `s3: {use: memory}` needs nothing, and forgets everything at its end." if "radosgw" in needed else "")
        )
    wanted = {
        DATABASE: settings.postgres.use == "given" and settings.prefect.use == "local",
        "PREFECT_API_URL": settings.prefect.use == "given",
        "RAY_ADDRESS": settings.ray.use == "given",
    }
    for name, given in wanted.items():
        if given and not os.environ.get(name):
            raise InputError(f"infra/production.yaml says `use: given`, but {name} is not set. Set it, or use: local.")
    webhook = settings.prefect.webhook
    if webhook is not None and not os.environ.get(webhook):
        raise InputError(
            f"infra/production.yaml: prefect.webhook: {webhook} is not set. Set it to the address, or remove it."
        )
    ports = {
        "postgres": (settings.postgres.use, settings.postgres.port), "s3": (settings.s3.use, settings.s3.port),
        "prefect": (settings.prefect.use, settings.prefect.port), "ray": (settings.ray.use, settings.ray.port),
    }  # fmt: skip
    for part, (use, port) in ports.items():
        if use != "given" and listens(HOST, port):
            raise InputError(
                f"infra/production.yaml: {part}.port: somebody listens on {port} already. Choose another port."
            )


def packages_missing(settings: Settings) -> tuple[str, ...]:
    """Debian's packages that the set needs and that are not there."""
    needed: tuple[str, ...] = ()
    if settings.prefect.use == "local" and settings.postgres.use == "local" and postgres.programs(settings) is None:
        needed += postgres.PACKAGES
    if settings.s3.use == "ceph" and ceph.missing() is not None:
        needed += ceph.PACKAGES
    return needed


@contextlib.contextmanager
def _alone(state: Path) -> Iterator[None]:
    with (state / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"A production set runs on {state} already. Stop it, or set `state` to another folder."
            ) from None
        yield
