"""Where trials run: here, or on a cluster that is named."""

import os
import signal

import pytest
from pydantic import ValidationError

from models.errors import EquipoiseError
from tasks.params import Resources
from tasks.search.cluster import _termination_kept, address_of, shares
from tasks.search.relay import is_outside


def test_auto_takes_the_cluster_of_the_environment_and_local_never_does(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert address_of(Resources()) is None
    assert address_of(Resources(ray="head:6379")) == "head:6379"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert address_of(Resources()) == "10.0.0.1:6379"
    assert address_of(Resources(ray="local")) is None
    assert address_of(Resources(ray="head:6379")) == "head:6379"
    assert not is_outside(Resources())
    monkeypatch.setenv("RAY_ADDRESS", "ray://10.0.0.1:10001")
    assert is_outside(Resources())
    assert not is_outside(Resources(ray="local"))


@pytest.mark.parametrize("ray", ["head", "http://head:6379", "head:port", "ray://head", ""])
def test_what_is_no_address_is_refused(ray):
    with pytest.raises(ValidationError, match="auto, local, HOST:PORT"):
        Resources(ray=ray)


@pytest.mark.parametrize(
    ("resources", "device", "available", "expected"),
    [
        ({}, "cpu", {"CPU": 2.0}, (1, 0, 2)),
        ({"cpus_per_trial": 0.5}, "cpu", {"CPU": 2.0}, (0.5, 0, 4)),
        ({"cpus_per_trial": 8}, "cpu", {"CPU": 2.0}, (2, 0, 1)),
        ({"concurrent_trials": 3}, "cpu", {"CPU": 2.0}, (1, 0, 3)),
        ({"gpus_per_trial": 0.5}, "cpu", {"CPU": 2.0}, (1, 0, 2)),
        ({"gpus_per_trial": 0.25}, "cuda", {"CPU": 2.0, "GPU": 1.0}, (1, 0.25, 4)),
        ({"gpus_per_trial": 4}, "cuda", {"CPU": 2.0, "GPU": 1.0}, (1, 1, 2)),
    ],
)
def test_a_trial_never_asks_for_more_than_there_is(resources, device, available, expected):
    found = shares(Resources(**resources), device, available)
    assert (found.cpus, found.gpus, found.at_once) == expected


def test_cuda_without_a_share_of_it_is_an_error_and_no_hang():
    with pytest.raises(EquipoiseError, match="gpus_per_trial"):
        shares(Resources(), "cuda", {"CPU": 2.0})


def test_a_termination_while_ray_starts_is_told_to_who_listened_before_once_ray_is_up():
    """Ray sets a handler that ends the process, as `_register_shutdown_hooks` of its nodes does."""
    told: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda *_: told.append("to the one before"))
    try:
        listens, interrupts = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        asked = signal.getsignal
        with _termination_kept():
            os.kill(os.getpid(), signal.SIGTERM)
            signal.signal(signal.SIGTERM, lambda *_: told.append("to Ray"))
            assert signal.getsignal(signal.SIGTERM) is listens
            assert signal.getsignal(signal.SIGINT) is interrupts
            os.kill(os.getpid(), signal.SIGTERM)
            signal.signal(signal.SIGUSR1, signal.signal(signal.SIGUSR1, signal.SIG_DFL))
            told.append("up")
        assert told == ["up", "to the one before"]
        assert signal.getsignal is asked
        assert signal.getsignal(signal.SIGTERM) is listens
        with _termination_kept():
            pass
        assert len(told) == 2
    finally:
        signal.signal(signal.SIGTERM, before)
