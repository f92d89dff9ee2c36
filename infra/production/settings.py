"""infra/production.yaml, and the secrets that the set makes for itself."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from models.errors import InputError
from tasks import LOOPBACK

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "infra" / "production.yaml"
SECRETS = "secrets.json"
DATABASE = "PREFECT_API_DATABASE_CONNECTION_URL"
"""The variable that leads Prefect's server to a database of the user's."""

Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Postgres(_Section):
    """Prefect's database."""

    use: Literal["local", "given"] = "local"
    port: Port = 5433
    user: str = "postgres"
    programs: Path | None = None


class S3(_Section):
    """Where versions are registered, and where runs keep what they have finished."""

    use: Literal["ceph", "memory", "given"] = "ceph"
    port: Port = 9000
    gigabytes: Annotated[int, Field(ge=2)] = 20
    bucket: Name = "equipoise"
    prefix: Name = "models"
    work: Name | None = "work"


class Orchestration(_Section):
    """Prefect's server and worker."""

    use: Literal["local", "given"] = "local"
    port: Port = 4200
    pool: Name = "equipoise"
    runs_at_once: Annotated[int, Field(ge=1)] = 2
    ui: bool = True
    webhook: str | None = None
    silent_seconds: Annotated[int, Field(ge=60)] | None = 90


class Cluster(_Section):
    """Ray's two nodes."""

    use: Literal["local", "given"] = "local"
    port: Port = 6380
    cpus: Annotated[int, Field(ge=1)] | None = None

    @property
    def cpus_per_node(self) -> int:
        """As set, else half of the cores."""
        return self.cpus or max(1, len(os.sched_getaffinity(0)) // 2)


class Settings(_Section):
    """All of infra/production.yaml."""

    state: Path = Path(".equipoise/production")
    postgres: Postgres = Field(default_factory=Postgres)
    s3: S3 = Field(default_factory=S3)
    prefect: Orchestration = Field(default_factory=Orchestration)
    ray: Cluster = Field(default_factory=Cluster)
    trial: Name | None = None
    """Of a set that is only tried on a server of yours: what its deployments' names end with. Not for the file."""


def load(path: Path = FILE, root: Path = ROOT) -> Settings:
    """The settings of a file, `state` as an absolute path. Raises InputError with every problem."""
    try:
        content = read_yaml(path) or {}
        settings = Settings.model_validate(content)
    except (OSError, YAMLError) as error:
        raise InputError(f"{path}: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InputError(f"{path}: {problems}. infra/production.yaml explains every key.") from error
    return settings.model_copy(update={"state": (root / settings.state).resolve()})


def read_yaml(path: Path) -> Any:
    """What a file of YAML says, plain values only."""
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


class Secrets(BaseModel):
    """Passwords and keys, made once and kept in a file that only its owner reads. Never printed."""

    postgres: str = Field(default_factory=lambda: secrets.token_hex(24), repr=False)
    ray: str = Field(default_factory=lambda: secrets.token_hex(32), repr=False)


def secrets_in(state: Path) -> Secrets:
    """Those of the state folder, made where there are none yet."""
    path = state / SECRETS
    if path.exists():
        return Secrets.model_validate_json(path.read_text(encoding="utf-8"))
    made = Secrets()
    write_private(path, made.model_dump_json())
    return made


def write_private(path: Path, text: str) -> None:
    """A file for its owner alone, whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


DIRECT = f"""
# Servers of this machine are met without the proxy that this shell may have; of the two names programs know one or the other.
case ",${{no_proxy:-}},${{NO_PROXY:-}}," in
*[,\\ ]"*"[,\\ ]*) ;;
*)
    [ "${{no_proxy:-}}" = "${{NO_PROXY:-}}" ] || no_proxy="${{no_proxy:-}}${{no_proxy:+${{NO_PROXY:+,}}}}${{NO_PROXY:-}}"
    case ",${{no_proxy:-}}," in
    *",{",".join(LOOPBACK)},"*) ;;
    *) no_proxy="${{no_proxy:+$no_proxy,}}{",".join(LOOPBACK)}" ;;
    esac
    export no_proxy NO_PROXY="$no_proxy"
    ;;
esac
"""


def write_environment(path: Path, variables: dict[str, str]) -> None:
    """A file to `source`: what a shell needs to meet the set. It holds secrets, so its owner alone reads it."""
    lines = "".join(f"export {name}={_quoted(value)}\n" for name, value in sorted(variables.items()))
    write_private(path, lines + DIRECT)


def _quoted(value: Any) -> str:
    import shlex

    return shlex.quote(json.dumps(value) if not isinstance(value, str) else value)
