"""A search in a cluster that this machine is no node of, through Ray's client: a real cluster of its own, on loopback."""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import ray
from ray._private.client_mode_hook import client_mode_should_convert

from models.errors import EquipoiseError, InputError
from tasks.params import Params
from tasks.train import STAGE as TRAIN
from tasks.tune import STAGE as TUNE
from tests.s3_server import free_port
from tests.tasks.searches import outputs, params, write_data

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
UP_SECONDS = 60.0


@pytest.fixture(scope="module")
def outside():
    """The address of a cluster of two cores, for machines outside of it."""
    folder = Path(tempfile.mkdtemp(prefix="equipoise-", dir="/tmp"))
    log, client = folder / "log", free_port()
    own = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}
    words = ("-m", "infra.production.ray_node", "--head", str(free_port()), "2", str(folder / "ray"), str(client))
    with log.open("wb") as out:
        head = subprocess.Popen((sys.executable, *words), cwd=ROOT, stdout=out, stderr=out, env={**os.environ, **own})
        try:
            until = time.monotonic() + UP_SECONDS
            while b": up with" not in log.read_bytes():
                assert head.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.1)
            yield f"ray://127.0.0.1:{client}"
        finally:
            head.terminate()
            head.wait(30)
            shutil.rmtree(folder, ignore_errors=True)


def with_resources(given, **resources):
    return given.model_copy(update={"resources": given.resources.model_copy(update=resources)})


def test_a_search_within_the_cluster_chooses_what_one_on_this_machine_chooses(outside, tmp_path, caplog):
    search = {"budget": {"trials": 6}, "rounds": 1, "rungs": 1}
    far, here = (write_data(tmp_path / name, 300) for name in ("far", "here"))
    with caplog.at_level(logging.INFO, logger="equipoise"):
        TUNE.execute(with_resources(params(("mlp",), **search), ray=outside), far)
    assert not ray.is_initialized()
    assert "encoding the rows" in caplog.text, "what the stage says within the cluster is heard here"
    TUNE.execute(with_resources(params(("mlp",), **search), ray="local"), here)
    assert outputs(far) == outputs(here)
    assert not list((far / ".equipoise/relay").iterdir())


def test_what_is_wrong_within_the_cluster_is_raised_here(outside, tmp_path):
    root = write_data(tmp_path, 100)
    (root / "data/ingest/schema.json").write_text("{")
    with pytest.raises(EquipoiseError, match="schema"):
        TUNE.execute(with_resources(params(), ray=outside), root)


def test_a_cluster_that_does_not_see_the_working_copy_says_so(outside, tmp_path, monkeypatch):
    from tasks.search import relay

    task = relay._task

    def elsewhere():
        within = task()
        return lambda order: within(json.dumps(json.loads(order) | {"said": "/nowhere/a.jsonl"}))

    monkeypatch.setattr(relay, "_task", elsewhere)
    with pytest.raises(InputError, match="does not see /nowhere"):
        TUNE.execute(with_resources(params(), ray=outside), write_data(tmp_path, 100))


def test_an_address_where_no_cluster_answers_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"resources\.ray: no cluster of Ray answers"):
        TUNE.execute(with_resources(params(), ray=f"ray://127.0.0.1:{free_port()}"), write_data(tmp_path, 100))
    assert not client_mode_should_convert(), "this process may start a Ray of its own"


def test_a_view_of_params_is_the_same_on_the_other_side():
    view = params().only(TRAIN.sections)
    again = Params.of_sections(json.loads(json.dumps(view.sections())))
    assert again == view
    assert set(again.__dict__) == set(TRAIN.sections)
