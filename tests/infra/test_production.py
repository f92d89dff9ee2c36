"""The production set's parts: settings, secrets, the supervisor with real processes, PostgreSQL where it is installed."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest
import yaml

from infra.production import postgres, storage
from infra.production.__main__ import INTERRUPTED, main
from infra.production.api import Api
from infra.production.faults import faults
from infra.production.orchestration import bound
from infra.production.production_set import check, packages_missing, production
from infra.production.settings import Postgres, Settings, load, secrets_in, write_environment
from infra.production.supervisor import Program, Supervisor, listens, run
from infra.production.yours import named_apart, secrets_given
from models.errors import EquipoiseError, InputError
from tests.s3_server import moto_server

PATIENCE_SECONDS = 60.0
LOCAL = "127.0.0.1,localhost,::1"
SLEEPER = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_the_file_that_comes_with_the_project_is_right() -> None:
    settings = load()
    assert settings.state.is_absolute()
    assert len({settings.postgres.port, settings.s3.port, settings.prefect.port, settings.ray.port}) == 4


@pytest.mark.parametrize(
    ("text", "says"),
    [("postgres: {prot: 5433}", "postgres.prot"), ("s3: {bucket: ../x}", "s3.bucket"), ("ray: {port: 0}", "ray.port"), ("[", "line 1")],
)  # fmt: skip
def test_a_mistake_in_the_settings_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "production.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=says.replace("[", r"\[")):
        load(path)


def test_secrets_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    made = secrets_in(tmp_path)
    assert secrets_in(tmp_path) == made
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    assert made.postgres not in repr(made)


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({}, LOCAL),
        ({"NO_PROXY": "a.org"}, f"a.org,{LOCAL}"),
        ({"no_proxy": "b.org", "NO_PROXY": "a.org, c.org"}, f"b.org,a.org, c.org,{LOCAL}"),
        ({"no_proxy": f"a.org,{LOCAL}", "NO_PROXY": f"a.org,{LOCAL}"}, f"a.org,{LOCAL}"),
    ],
)
def test_a_shell_that_reads_the_environment_meets_the_set_without_its_proxy(
    shell: str, given: dict[str, str], seen: str, tmp_path: Path
) -> None:
    write_environment(tmp_path / "environment", {"A": "it's 1"})
    twice = 'set -eu; . ./environment; . ./environment; printf "%s\\n" "$A" "$no_proxy" "$NO_PROXY"'
    environment = {"PATH": os.environ["PATH"], **given}
    said = subprocess.run(
        [shell, "-c", twice], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines() == ["it's 1", seen, seen]


def test_a_shell_that_uses_no_proxy_at_all_is_left_so(tmp_path: Path) -> None:
    write_environment(tmp_path / "environment", {})
    for given in ("*", "a.org, *"):
        words = ["sh", "-c", '. ./environment; echo "$NO_PROXY ${no_proxy-unset}"']
        said = subprocess.run(words, cwd=tmp_path, env={"NO_PROXY": given}, capture_output=True, text=True, check=True)
        assert said.stdout == f"{given} unset\n"


def test_what_is_missing_is_said_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(postgres, "DEBIAN", Path("/nowhere"))
    assert packages_missing(Settings()) == ("postgresql", "ceph-mon", "ceph-osd", "radosgw")
    with pytest.raises(
        InputError, match="apt-get install --no-install-recommends postgresql ceph-mon ceph-osd radosgw"
    ):
        check(Settings())
    given = Settings.model_validate({"s3": {"use": "given"}, "prefect": {"use": "given"}, "ray": {"use": "given"}})
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(InputError, match="PREFECT_API_URL is not set"):
        check(given)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    check(given)


def test_a_port_that_is_taken_is_refused_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = {
            "s3": {"use": "memory", "port": taken.getsockname()[1]},
            "prefect": {"use": "given"},
            "ray": {"use": "given"},
        }
        os.environ["PREFECT_API_URL"], os.environ["RAY_ADDRESS"] = "http://127.0.0.1:1/api", "127.0.0.1:1"
        try:
            with pytest.raises(InputError, match=r"s3.port: somebody listens"):
                check(Settings.model_validate(settings))
        finally:
            del os.environ["PREFECT_API_URL"], os.environ["RAY_ADDRESS"]


def test_every_deployment_takes_the_registry_of_the_set(repository: Path, tmp_path: Path) -> None:
    import importlib
    import inspect

    written = yaml.safe_load((repository / "infra" / "prefect.yaml").read_text(encoding="utf-8"))
    made = bound(written, tmp_path / "params.yaml", "mine")["deployments"]
    tried = bound(written, tmp_path / "params.yaml", "mine", "trial-1")["deployments"]
    assert [d["name"] for d in tried] == [f"{d['name']}-trial-1" for d in made]
    assert {d["work_pool"]["name"] for d in made} == {"mine"}
    # Two heartbeats may be late before a run counts as killed, whichever worker it runs on.
    pauses = [int(d["work_pool"]["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]) for d in made]
    silent = Settings().prefect.silent_seconds
    assert silent is not None
    assert 2 * max(pauses) < silent
    for deployment in made:
        path, function = deployment["entrypoint"].split(":")
        flow = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), function)
        inspect.signature(flow.fn).bind_partial(**deployment["parameters"])
        assert deployment["parameters"]["params_file"] == str(tmp_path / "params.yaml")


GIVEN = Settings.model_validate({part: {"use": "given"} for part in ("s3", "prefect", "ray")})


def test_a_trial_on_parts_of_yours_touches_nothing_that_has_your_names(monkeypatch: pytest.MonkeyPatch) -> None:
    made = named_apart(GIVEN)
    assert made.trial is not None
    for name, yours in (
        (made.s3.prefix, GIVEN.s3.prefix), (made.s3.work, GIVEN.s3.work), (made.prefect.pool, GIVEN.prefect.pool)
    ):  # fmt: skip
        assert name == f"{yours}-{made.trial}"
    assert named_apart(GIVEN).trial != made.trial
    assert named_apart(Settings()) == Settings()
    with pytest.raises(InputError, match="prefect, ray would be yours"):
        faults(GIVEN)
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "postgresql+asyncpg://me:p%40ss@host/db")
    assert {"p%40ss", "p@ss"} <= set(secrets_given())


def test_a_bucket_of_yours_is_made_where_its_region_is_and_only_the_trial_s_objects_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with moto_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        storage.see_to_bucket("mine", {})
        s3, settings = server.client(), named_apart(GIVEN).s3
        for key in ("models/a", f"{settings.prefix}/a", f"{settings.prefix}/b/c", f"{settings.prefix}-not/a"):
            s3.put_object(Bucket="mine", Key=key, Body=b"")
        assert storage.remove_below("mine", [settings.prefix]) is None
        left = [found["Key"] for found in s3.list_objects_v2(Bucket="mine")["Contents"]]
        assert left == [f"{settings.prefix}-not/a", "models/a"] or left == ["models/a", f"{settings.prefix}-not/a"]
        assert "NoSuchBucket" in (storage.remove_below("nobody-has-this", ["x"]) or "")


def test_what_the_user_has_set_for_a_storage_elsewhere_does_not_lead_the_set_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("ENDPOINT_URL_S3", "https://elsewhere"), ("IGNORE_CONFIGURED_ENDPOINT_URLS", "true")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-somebody")
    for name, value in storage._variables(9000, "key", "secret").items():
        monkeypatch.setenv(name, value)
    client = storage.client({})
    assert client.meta.endpoint_url == "http://127.0.0.1:9000"
    assert not client._request_signer._credentials.token


def test_a_server_of_yours_is_shown_the_credentials_of_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/api/"
        monkeypatch.delenv("PREFECT_API_KEY", raising=False)
        monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
        Api(url).call("health")
        monkeypatch.setenv("PREFECT_API_KEY", "pnu_1")
        Api(url).call("health")
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:pass")
        Api(url).call("health")
        server.shutdown()
    assert seen == [None, "Bearer pnu_1", "Basic YWRtaW46cGFzcw=="]


def test_a_cluster_of_yours_that_is_not_there_is_named_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    settings = GIVEN.model_copy(update={"state": tmp_path / "state"})
    with (
        pytest.raises(InputError, match=r"nobody listens there.*RAY_AUTH_MODE=token"),
        production(settings, tmp_path, print),
    ):
        pass
    assert not settings.state.exists()


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="/nowhere/initdb is not there"):
        run(("/nowhere/initdb", "-D", "x"))


@pytest.mark.parametrize("words", [["--test"], ["--test", "--faults", "two-runs"]])
def test_a_test_that_is_ended_before_its_time_has_not_passed(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    monkeypatch.setattr(sys, "argv", ["production", *words])
    monkeypatch.setattr("infra.production.trial.clone", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    monkeypatch.setattr("infra.production.faults.clone", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    try:
        assert main() == INTERRUPTED
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)


def test_what_dies_is_started_again_and_the_end_takes_its_children_too(tmp_path: Path) -> None:
    parent = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True); time.sleep(600)"
    said: list[str] = []
    with Supervisor(tmp_path, said.append) as supervisor:
        supervisor.start(Program("one", (sys.executable, "-c", parent), lambda: True))
        first = supervisor.process_of("one").pid
        until(lambda: len(psutil.Process(first).children()) == 1, "the child did not start")
        orphan = psutil.Process(first).children()[0]
        os.kill(first, signal.SIGKILL)
        supervisor.watch(until=lambda: supervisor.process_of("one").pid != first)
        orphan.kill()
        second = psutil.Process(supervisor.process_of("one").pid)
        until(lambda: len(second.children()) == 1, "the child did not start again")
        family = [second, *second.children()]
    assert any("ended with exit code -9; started again" in line for line in said)
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_what_does_not_start_says_why(tmp_path: Path) -> None:
    words = (sys.executable, "-c", "import sys; sys.exit('the disk is on fire')")
    with Supervisor(tmp_path, print) as supervisor, pytest.raises(EquipoiseError, match="the disk is on fire"):
        supervisor.start(Program("one", words, lambda: False))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has gone")
def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path, repository: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom infra.production.supervisor import Program, Supervisor\n"
        f"s = Supervisor(Path({str(tmp_path)!r}), print)\ns.start(Program('one', {SLEEPER!r}, lambda: True))\n"
        "print(s.process_of('one').pid, flush=True)\ntime.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )  # fmt: skip
    assert process.stdout is not None
    with process, process.stdout:
        assert "up after" in process.stdout.readline()
        child = psutil.Process(int(process.stdout.readline()))
        process.kill()
        until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "the child is still there")


@pytest.mark.slow
def test_postgres_keeps_what_it_was_told_through_kill_9_and_a_new_start(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own folder is closed to PostgreSQL's user
        state = Path(folder)
        state.chmod(0o711)
        settings = Settings(state=state, postgres=Postgres(port=free_port()))
        programs = postgres.programs(settings)
        if programs is None:
            pytest.skip("PostgreSQL is not installed; on Debian: apt-get install postgresql")
        secrets = secrets_in(state)
        port = settings.postgres.port
        words = (
            str(programs / "psql"), "-h", "127.0.0.1", "-p", str(port), "-U", postgres.ROLE, "-d", postgres.DATABASE, "-Atc"
        )  # fmt: skip
        password = {"PGPASSWORD": secrets.postgres}
        with Supervisor(state / "logs", print) as supervisor:
            url = postgres.start(settings, secrets, supervisor)
            assert url.startswith("postgresql+asyncpg://")
            run((*words, "create table kept (n int); insert into kept values (7)"), password)
            with pytest.raises(EquipoiseError, match="password"):
                run((*words, "select 1"), {"PGPASSWORD": "wrong"})
            first = supervisor.process_of("postgres").pid
            assert os.geteuid() != 0 or psutil.Process(first).uids().real != 0, "it runs as root"
            os.kill(first, signal.SIGKILL)
            supervisor.watch(
                until=lambda: supervisor.process_of("postgres").pid != first and listens("127.0.0.1", port)
            )
        assert not listens("127.0.0.1", port)
        with Supervisor(state / "logs", print) as supervisor:
            postgres.start(settings, secrets, supervisor)
            assert run((*words, "select n from kept"), password).strip() == "7"
        assert secrets.postgres not in (state / "logs" / "postgres.log").read_text()
