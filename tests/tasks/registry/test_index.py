"""Many versions: listed from blocks of many, whatever of these is missing or damaged, and looked up without a scan."""

from __future__ import annotations

import pytest

from tasks.registry import Registry
from tasks.registry.index import _blocks
from tasks.registry.manifest import KIND
from tasks.registry.names import version_id
from tasks.registry.seals import Seals
from tasks.registry.store import VERSIONS, Series
from tests.fault_proxy import proxy


def grow(registry: Registry, last: int) -> None:
    """Versions up to `last` as publishing makes them, but for the files, which all have in common with the first."""
    first = registry.manifest("adult", "v1")
    for number in range(2, last + 1):
        record = first.model_copy(update={"version": version_id(number), "run": f"run-{number}"})
        content = Seals().seal(KIND, record.model_dump(mode="json"))
        assert registry.store.create(Series("adult", VERSIONS), number, content)
        registry._index("adult").complete(number)


@pytest.mark.parametrize(
    ("first", "last", "blocks"), [(1, 15, 15), (1, 16, 1), (1, 10_000, 10), (2, 17, 16), (17, 288, 17)]
)
def test_blocks_cover_exactly_the_versions_that_are_asked_for(first, last, blocks):
    found = list(_blocks(first, last))
    covered = [n for block in found for n in range(block.first, block.first + 16**block.level)]
    assert covered == list(range(first, last + 1))
    assert len(found) == blocks


def test_the_list_is_the_manifests_whatever_happens_to_its_blocks(bucket, publish):
    registry = bucket.registry()
    publish(registry)
    grow(registry, 33)
    expected = [registry.manifest("adult", version_id(n)).run for n in range(1, 34)]
    blocks = [key for key in bucket.everything() if "/index-" in key]
    assert len(blocks) == 2
    assert [entry.run for entry in bucket.registry().listing("adult")] == expected
    bucket.overwrite(blocks[0], b"\x80\x04N.")
    bucket.remove(blocks[1])
    assert [entry.run for entry in bucket.registry().listing("adult")] == expected
    assert bucket.registry().version_of_run("adult", "run-20").version == "v20"
    publish(bucket.registry(), content="new")
    assert blocks[1] in bucket.everything(), "whoever publishes next mends what is missing"


def test_listing_and_lookup_cost_a_handful_of_requests(bucket, moto, publish, monkeypatch):
    registry = bucket.registry()
    publish(registry)
    registry.promote("adult", "v1")
    grow(registry, 256)
    with proxy(int(moto.endpoint.rpartition(":")[2])) as counting:
        monkeypatch.setenv("AWS_ENDPOINT_URL", counting.endpoint)
        fresh = bucket.registry()
        assert len(fresh.listing("adult")) == 256
        assert len(counting.seen) == 2, "the newest number, and one block"
        counting.begin()
        assert fresh.resolve("adult", "champion").version == "v1"
        assert len(counting.seen) == 2, "the newest move, and its record"
        counting.begin()
        fresh.names()
        assert len(counting.seen) == 2
