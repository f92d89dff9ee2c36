"""Where trials run: here, or on a cluster that is named."""

import pytest
from pydantic import ValidationError

from tasks.params import Resources
from tasks.search.cluster import address_of


def test_auto_takes_the_cluster_of_the_environment_and_local_never_does(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert address_of(Resources()) is None
    assert address_of(Resources(ray="head:6379")) == "head:6379"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert address_of(Resources()) == "10.0.0.1:6379"
    assert address_of(Resources(ray="local")) is None
    assert address_of(Resources(ray="head:6379")) == "head:6379"


@pytest.mark.parametrize("ray", ["head", "http://head:6379", "head:port", ""])
def test_what_is_no_address_is_refused(ray):
    with pytest.raises(ValidationError, match="auto, local, or HOST:PORT"):
        Resources(ray=ray)


def test_an_address_for_machines_outside_of_the_cluster_says_what_to_do():
    with pytest.raises(ValidationError, match="on a node"):
        Resources(ray="ray://head:10001")
