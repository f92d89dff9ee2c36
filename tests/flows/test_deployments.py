"""infra/prefect.yaml against a real server and a real worker, by the commands that the README gives."""

import contextlib
import json
import queue
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from infra.production.api import Api
from infra.production.notify import tell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PATIENCE_SECONDS = 300.0
SECRETS = (
    "hunter2-in-address",
    "t0ken-in-query",
    "wJalr/XUtnFEMI+in-environment",
    "https://hooks.example.org/services/B0/s3cr3t",
)


@pytest.fixture
def served(small_copy: Any, repository: Path, tmp_path: Path) -> Iterator[Any]:
    """The small working copy with the deployments' file, and a Prefect server on loopback with a database of its own."""
    shutil.copytree(repository / "infra", small_copy.root / "infra")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    small_copy.environment["PREFECT_HOME"] = str(tmp_path / "prefect")
    small_copy.environment["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    server = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"],
        env=small_copy.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        end = time.monotonic() + PATIENCE_SECONDS
        while not _answers(small_copy.environment["PREFECT_API_URL"]):
            assert server.poll() is None, "the server did not start"
            assert time.monotonic() < end, "the server did not answer"
            time.sleep(0.5)
        yield small_copy
    finally:
        server.terminate()
        server.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def call(copy: Any, path: str, content: dict[str, Any]) -> list[dict[str, Any]]:
    """What the server's API answers."""
    request = urllib.request.Request(
        f"{copy.environment['PREFECT_API_URL']}/{path}",
        json.dumps(content).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        rows: list[dict[str, Any]] = json.load(answer)
    return rows


@contextlib.contextmanager
def receiver() -> Iterator[tuple[str, "queue.Queue[dict[str, Any]]"]]:
    """An address on loopback, and what is sent there."""
    got: queue.Queue[dict[str, Any]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/json"
            got.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/told", got
        server.shutdown()


def prefect(copy: Any, *words: str) -> str:
    """`prefect …`, which must succeed."""
    done = copy.prefect(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def plant_secrets(copy: Any) -> str:
    """In the environment, and in what every stage says, makes and fails with; an address that holds some too."""
    address = f"https://me:{SECRETS[0]}@example.org/?token={SECRETS[1]}"
    copy.environment |= {"AWS_SECRET_ACCESS_KEY": SECRETS[2], "EQUIPOISE_WEBHOOK": SECRETS[3]}
    (copy.root / "said").write_text(
        f" ({address} was asked with {SECRETS[2]}; {SECRETS[3]} did not answer)", encoding="utf-8"
    )
    return address


def kept_by(copy: Any) -> dict[str, str]:
    """Everything that the server tells of runs, by its kind, as text."""
    told: dict[str, list[Any]] = {kind: [] for kind in ("flow_runs", "task_runs", "logs", "artifacts")}
    for kind, rows in told.items():
        while more := call(copy, f"{kind}/filter", {"limit": 200, "offset": len(rows)}):
            rows += more
    api = Api(copy.environment["PREFECT_API_URL"])
    told["flow_run_states"] = [api.call(f"flow_run_states/?flow_run_id={run['id']}") for run in told["flow_runs"]]
    told["events"] = [call(copy, "events/filter", {"limit": 50})]
    return {kind: json.dumps(rows) for kind, rows in told.items()}


def test_a_worker_runs_the_deployments_and_a_run_by_hand_meets_them(served: Any) -> None:
    prefect(served, "work-pool", "create", "equipoise", "--type", "process")
    prefect(served, "--no-prompt", "deploy", "--prefect-file", "infra/prefect.yaml", "--all")
    deployed = {f"{d['entrypoint'].rpartition(':')[2]}/{d['name']}": d for d in call(served, "deployments/filter", {})}
    assert {"retrain/on-demand", "retrain/nightly", "monitor/hourly", "promote/on-demand", "rollback/on-demand"} <= set(
        deployed
    )
    assert [s["schedule"]["cron"] for s in deployed["retrain/nightly"]["schedules"]] == ["0 2 * * *"]
    assert [s["active"] for s in deployed["monitor/hourly"]["schedules"]] == [False]
    assert deployed["retrain/on-demand"]["schedules"] == []

    # Every parameter has a field of its own, and the server refuses what does not fit before anything runs.
    asked = deployed["retrain/on-demand"]["parameter_openapi_schema"]["properties"]["params"]["properties"]
    assert asked["search"]["properties"]["budget"]["properties"]["trials"]["minimum"] == 2
    wrong = served.prefect("deployment", "run", "retrain/on-demand", "--param", 'params={"search": {"rounds": 0}}')
    assert wrong.returncode == 1
    assert "'params.search.rounds'" in wrong.stdout + wrong.stderr
    assert "less than the minimum of 1" in " ".join((wrong.stdout + wrong.stderr).split())
    address = plant_secrets(served)
    params = json.dumps({"seed": 3, "data": {"weight": address}})
    prefect(served, "deployment", "run", "retrain/on-demand", "--param", f"params={params}")
    hold = served.hold("split")
    worker = served.begin_prefect("worker", "start", "--pool", "equipoise", "--run-once")
    served.wait_for("split")
    api = Api(served.environment["PREFECT_API_URL"])
    limit = api.call("v2/concurrency_limits/equipoise-lending")
    assert (limit["limit"], limit["active_slots"]) == (1, 1)
    assert "Another run works in" in served.command("run").stderr
    hold.unlink()
    printed = worker.communicate(timeout=PATIENCE_SECONDS)[0]

    (run,) = call(served, "flow_runs/filter", {"flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}}})
    assert run["state"]["type"] == "COMPLETED", run["state"]["message"]
    assert run["state"]["message"] == "registered lending@v1 (champion)"
    assert api.call("v2/concurrency_limits/equipoise-lending")["active_slots"] == 0
    names = {t["name"].partition("-")[0] for t in call(served, "task_runs/filter", {})}
    assert names == set(served.executions())
    kinds = {a["key"]: a["type"] for a in call(served, "artifacts/filter", {}) if a["key"]}
    assert kinds == {"leaderboard": "table", "verdict": "markdown", "report": "markdown", "summary": "markdown"}
    assert any(
        "split: splitting" in log["message"] or "splitting" in log["message"] for log in call(served, "logs/filter", {})
    )
    assert served.clean()

    # The scheduler plans the night.
    nightly = {"deployments": {"id": {"any_": [deployed["retrain/nightly"]["id"]]}}}
    end = time.monotonic() + PATIENCE_SECONDS
    while not (planned := call(served, "flow_runs/filter", nightly)):
        assert time.monotonic() < end, "no run was scheduled"
        time.sleep(0.5)
    assert all(r["auto_scheduled"] and "T02:00:00" in r["expected_start_time"] for r in planned)

    # The monitor triggers what it asks for.
    triggered = served.python(
        "from flows.respond import respond\nfrom tasks.monitoring.seen import Seen\n"
        "found = {'note': '', 'reasons': ['drift'], 'action': 'retrain'}\n"
        "print(respond(Seen('lending@v1', 'retrain', [found]), 'lending', {'seed': 4}))"
    )
    assert "retrain: retrain/on-demand was triggered" in triggered.stdout
    waiting = call(served, "flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}})
    assert {"overrides": {"seed": 4}, "wait": True} in [r["parameters"] for r in waiting]

    # The same by hand, against the same server: nothing to do with the same override, all anew without it.
    assert "Nothing to do" in served.command("run", "--set", "seed=3", "--set", f"data.weight={address}").stdout
    with receiver() as (webhook, told):
        tell(api, "http://127.0.0.1:1/elsewhere")
        tell(api, webhook)  # the second time brings the first up to date
        refused = served.command("run", "--set", "seed=200", "--set", f"data.weight={address}")
        assert refused.returncode == 3, refused.stdout + refused.stderr
        message = told.get(timeout=PATIENCE_SECONDS)
    assert (message["flow"], message["state"]) == ("retrain", "Refused")
    assert "accuracy is 0.6" in message["text"] or "The verdict is fail." in message["text"]
    states = {r["state"]["name"] for r in call(served, "flow_runs/filter", {})}
    assert "Refused" in states

    # Of the secrets that were in words and parameters of all this, and of a run that fails with them, nothing is kept or shown.
    served.hold("split", "fail")
    failed = served.command("run", "--set", "seed=201")
    assert failed.returncode == 1
    assert "OSError: the disk is on fire" in failed.stderr
    kept = kept_by(served)
    for kind in ("flow_runs", "task_runs", "logs", "artifacts", "flow_run_states"):
        assert "example.org" in kept[kind], f"the address did not get there: {kind}"
    assert "the disk is on fire" in kept["task_runs"]
    runs = {"worker": printed, "refused": refused.stdout + refused.stderr, "failed": failed.stdout + failed.stderr}
    shown = {**kept, **runs, "webhook": json.dumps(message)}
    assert not [(secret, where) for secret in SECRETS for where, text in shown.items() if secret in text]
