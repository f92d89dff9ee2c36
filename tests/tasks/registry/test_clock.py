"""A registry while the clock of a machine jumps: no order, no alias and nothing that is collected hangs on it."""

import time
from datetime import UTC, datetime

from tasks.registry import registry as moves
from tasks.registry import versions

JUMPS = (0.0, -365 * 86400.0, 365 * 86400.0, -3600.0)
"""Seconds that the clock is off at each registration."""


def test_the_clock_jumps_between_registrations(place, publish, monkeypatch):
    real, off = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + off[0])
    for module in (moves, versions):
        monkeypatch.setattr(module, "now", lambda: datetime.fromtimestamp(time.time(), UTC).isoformat("T", "seconds"))
    registry, survived = place.registry(), 0
    for number, jump in enumerate(JUMPS, 1):
        off[0] = jump
        published = publish(registry, content=str(number))
        registry.promote("adult", published.version, why="better")
        registry.collect()
        fresh = place.registry()
        assert fresh.versions("adult") == [f"v{n}" for n in range(1, number + 1)]
        assert fresh.load("adult", "champion").version == f"v{number}"
        assert [move.number for move in fresh.history("adult")] == list(range(1, number + 1))
        assert all(fresh.load("adult", version).version == version for version in fresh.versions("adult"))
        survived += 1
    assert registry.rollback("adult").to_version == f"v{len(JUMPS) - 1}"
    written = [move.when for move in registry.history("adult")]
    assert written != sorted(written), "the clock did not jump"
    print(f"clock jumps in a registry: survived {survived} / {len(JUMPS)}")
