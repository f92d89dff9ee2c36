"""What of a bucket is not believed, and what is not told about it."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable

import pytest

from models.errors import EquipoiseError, InputError
from tasks.registry import CorruptError, open_registry
from tasks.registry.s3.store import S3Store
from tests.s3_server import free_port

CONTENT = {"predictor/weights.safetensors": b"w" * 1000, "params.json": b"{}"}


def test_no_secret_is_in_a_message_a_log_or_the_bucket(bucket, caplog, monkeypatch, tmp_path):
    """Planted: the secret key, credentials in an address, in a reason and in a summary."""
    secrets = ("moto-secret", "hunter2", "t0ken")
    said: list[str] = []

    def note(act: Callable[[], object]) -> None:
        with pytest.raises(EquipoiseError) as caught:
            act()
        said.append(str(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__))

    with caplog.at_level(logging.DEBUG):
        note(lambda: open_registry("s3://AKIA:hunter2@bucket/x"))
        note(lambda: open_registry("s4://AKIA:hunter2@bucket/x"))
        note(lambda: open_registry("s3://nobody-has-this-bucket/x").probe())
        note(lambda: bucket.registry().load("adult"))
        registry = bucket.registry()
        registry.publish("adult", CONTENT, "r", {"source": "https://me:hunter2@host/x.csv?sig=t0ken"})
        registry.promote("adult", "v1", why="see https://host/x?token=t0ken")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        note(lambda: bucket.registry().names())
    stored = b"".join(bucket.read(key) for key in bucket.everything()).decode()
    for secret in secrets:
        assert secret not in "".join(said)
        assert secret not in stored
        assert not any(secret in record.getMessage() for record in caplog.records if record.name == "equipoise")


def test_a_link_in_place_of_the_folder_of_fetched_versions_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "elsewhere/kept").mkdir(parents=True)
    (tmp_path / "elsewhere/kept.lock").touch()
    (tmp_path / f"equipoise-{os.getuid()}").symlink_to("elsewhere")
    assert S3Store.at("s3://bucket/x", "bucket/x").tidy() == 0
    assert (tmp_path / "elsewhere/kept").is_dir()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3://", "names no place"),
        ("s3://Bucket/x", "cannot be a bucket"),
        ("s3:///x", "cannot be a bucket"),
        ("s3://bucket/../other", "the prefix may have"),
        ("s3://bucket/a//b", "the prefix may have"),
        ("s3://bucket/a?versionId=1", "nothing else"),
    ],
)
def test_an_address_that_leads_elsewhere_is_refused(url, says):
    with pytest.raises(InputError, match=says):
        open_registry(url)


def test_what_lies_in_the_bucket_and_does_not_belong_there_is_passed_over(bucket, publish):
    registry = bucket.registry()
    publish(registry)
    registry.promote("adult", "v1")
    for key in (
        "adult/aliases/000000000-evil.json",
        "adult/versions/000-1.json",
        "adult/aliases/x",
        "_names/..",
        "_names/a b",
    ):
        bucket.overwrite(key, b"\x80\x04N.")
    fresh = bucket.registry()
    assert fresh.names() == ["adult"]
    assert fresh.versions("adult") == ["v1"]
    assert fresh.load("adult").version == "v1"


def test_a_manifest_cannot_lead_to_another_place_in_the_bucket(bucket, publish):
    registry = bucket.registry()
    publish(registry)
    from tasks.registry.seals import Seals

    record = registry.manifest("adult", "v1").model_dump(mode="json") | {"stored": "../../other"}
    bucket.overwrite(bucket.of_manifest("adult", 1), Seals().seal("manifest", record))
    with pytest.raises(CorruptError, match="is not a manifest"):
        registry.load("adult", "v1")
