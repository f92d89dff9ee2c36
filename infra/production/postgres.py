"""PostgreSQL for Prefect: a cluster in the state folder, on loopback, with a password, never as root."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from infra.production.settings import HOST, Secrets, Settings
from infra.production.supervisor import Program, Supervisor, identity, listens, run
from models.errors import EquipoiseError, InputError

ROLE = DATABASE = "equipoise"
PACKAGES = ("postgresql",)
DEBIAN = Path("/usr/lib/postgresql")


def programs(settings: Settings) -> Path | None:
    """The folder of PostgreSQL's programs, or None where there are none."""
    if settings.postgres.programs is not None:
        return settings.postgres.programs
    newest = sorted(
        DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0
    )
    if newest:
        return newest[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def start(settings: Settings, secrets: Secrets, supervisor: Supervisor) -> str:
    """Start it, with an empty database at the first time; the URL that Prefect's server takes."""
    folder = programs(settings)
    assert folder is not None  # asked for before anything starts
    user, port = settings.postgres.user, settings.postgres.port
    data = _made(settings, secrets, folder)
    environment = {"PGPASSWORD": secrets.postgres, "PGCONNECT_TIMEOUT": "5"}
    to = ("-h", HOST, "-p", str(port), "-U", ROLE)
    options = {
        "listen_addresses": HOST, "port": str(port), "unix_socket_directories": "", "password_encryption": "scram-sha-256",
        "max_connections": "100", "fsync": "on",
    }  # fmt: skip
    words = [str(folder / "postgres"), "-D", str(data), *(w for k, v in options.items() for w in ("-c", f"{k}={v}"))]

    def ready() -> bool:
        if not listens(HOST, port):
            return False
        try:
            run((str(folder / "psql"), *to, "-d", "postgres", "-Atc", "select 1"), environment)
        except EquipoiseError:
            return False
        return True

    # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients to go by themselves.
    supervisor.start(Program("postgres", tuple(words), ready, user=user, stop=signal.SIGINT, folder=data))
    known = run(
        (str(folder / "psql"), *to, "-d", "postgres", "-Atc", "select datname from pg_database"), environment
    ).split()
    if DATABASE not in known:
        run((str(folder / "createdb"), *to, DATABASE), environment)
    return f"postgresql+asyncpg://{ROLE}:{secrets.postgres}@{HOST}:{port}/{DATABASE}"


def _made(settings: Settings, secrets: Secrets, folder: Path) -> Path:
    """The cluster's folder; made aside and then renamed, so that there is a whole one or none."""
    home = settings.state / "postgres"
    data = home / "data"
    if data.exists():
        return data
    _give(home, settings.postgres.user)
    making, password = home / "making", home / "password"
    shutil.rmtree(making, ignore_errors=True)
    password.unlink(missing_ok=True)
    with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.postgres)
    _give(password, settings.postgres.user)
    try:
        run(
            (str(folder / "initdb"), "-D", str(making), "-U", ROLE, "-E", "UTF8", "--no-locale", "-A", "scram-sha-256",
             "--pwfile", str(password)),
            user=settings.postgres.user, folder=Path("/"),
        )  # fmt: skip
    except (EquipoiseError, PermissionError) as error:
        raise InputError(
            f"PostgreSQL's data could not be made in {home}: {error}. Does the user '{settings.postgres.user}' reach that "
            "folder? infra/production.yaml: set `state` to one outside of a private home."
        ) from error
    finally:
        password.unlink(missing_ok=True)
    making.rename(data)
    return data


def _give(path: Path, user: str) -> None:
    if not path.exists():
        path.mkdir(parents=True, mode=0o700)
    who = identity(user)
    if who:
        shutil.chown(path, user=who["user"], group=who["group"])
