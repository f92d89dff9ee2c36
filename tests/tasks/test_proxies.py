"""A proxy in the environment is for what is elsewhere: servers of this machine are met without it."""

import json
import os
import subprocess
import sys

import pytest

SEEN = "import json, os, tasks; print(json.dumps([os.environ.get(n) for n in ('no_proxy', 'NO_PROXY')]))"
LOCAL = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({}, [None, None]),
        ({"NO_PROXY": "example.org"}, [None, "example.org"]),
        ({"HTTP_PROXY": "http://proxy:3128"}, [LOCAL, LOCAL]),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "a.org, localhost"}, ["a.org,localhost,127.0.0.1,::1"] * 2),
        ({"all_proxy": "http://proxy:3128", "NO_PROXY": "*"}, [None, "*"]),
    ],
)
def test_loopback_is_met_without_a_proxy(given: dict[str, str], seen: list[str | None]) -> None:
    own = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run([sys.executable, "-c", SEEN], env=own | given, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == seen
