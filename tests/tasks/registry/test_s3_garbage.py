"""What of a bucket is garbage, and that nothing else is collected."""

from __future__ import annotations

import time

import pytest

from models.errors import EquipoiseError, InputError
from tasks.registry import CorruptError
from tasks.registry.s3 import layout
from tests.s3_server import BUCKET

CONTENT = {"predictor/weights.safetensors": b"w" * 1000, "params.json": b"{}"}


def upload_days_ago(days: int, run: str = "killed") -> str:
    return layout.upload_of(run, int(time.time() // layout.DAY_SECONDS) - days)


def test_garbage_is_what_no_version_uses_and_nobody_can_publish_any_more(bucket, publish, monkeypatch):
    from tasks.registry.s3.store import S3Store

    now = S3Store.moment
    with monkeypatch.context() as past:
        past.setattr(S3Store, "moment", lambda self: now(self) - 10 * layout.DAY_SECONDS)
        publish(bucket.registry())
    publish(bucket.registry(), content="b")
    kept = bucket.everything()
    old, fresh = upload_days_ago(10), upload_days_ago(1)
    for stored in (old, fresh):
        bucket.overwrite(layout.file_key("adult", stored, "0" * 64), b"half")
    address = {"Bucket": BUCKET, "Key": f"{bucket.prefix}/{layout.file_key('adult', old, '1' * 64)}"}
    bucket.client.create_multipart_upload(**address)
    registry = bucket.registry()
    found = registry.collect(dry=True)
    assert (found.removed, found.bytes, found.kept) == (2, 4, 3)
    assert registry.collect() == found
    assert bucket.everything() == sorted([*kept, layout.file_key("adult", fresh, "0" * 64)])
    assert "Uploads" not in bucket.client.list_multipart_uploads(Bucket=BUCKET, Prefix=bucket.prefix)
    assert registry.collect().removed == 0
    for version in ("v1", "v2"):
        registry.load("adult", version)
    with pytest.raises(InputError, match="give at least 1"):
        registry.collect(grace=0)


def test_nothing_is_collected_where_a_manifest_cannot_be_read(bucket, publish):
    registry = bucket.registry()
    publish(registry)
    bucket.overwrite(layout.file_key("adult", upload_days_ago(10), "0" * 64), b"half")
    bucket.overwrite(bucket.of_manifest("adult", 1), b"{}")
    before = bucket.everything()
    with pytest.raises(CorruptError, match="is damaged"):
        registry.collect()
    assert bucket.everything() == before


def test_a_writer_that_took_so_long_that_its_files_may_be_gone_publishes_nothing(bucket, monkeypatch):
    from tasks.registry.s3.store import S3Store

    now = S3Store.moment
    store = bucket.registry().store
    with store.writer("adult", "run") as writer:
        writer.add("a.json", b"{}")
        monkeypatch.setattr(S3Store, "moment", lambda self: now(self) + 2 * layout.DAY_SECONDS)
        with pytest.raises(EquipoiseError, match="took more than a day"):
            writer.publish(1, b"{}")
    assert bucket.registry().names() == []
