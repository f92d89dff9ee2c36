"""The policies of infra/s3: what each role does is allowed by its policy, and no more."""

from __future__ import annotations

import fnmatch
import json
import re
import urllib.parse
from pathlib import Path

import pytest

from tests.fault_proxy import Request, proxy
from tests.s3_server import BUCKET, REPOSITORY

ACTIONS = (
    ("GET", r"^/[^/?]+\?.*list-type=2", "s3:ListBucket"),
    ("HEAD", r"^/[^/?]+/?$", "s3:ListBucket"),
    ("GET", r"^/[^/?]+\?.*versioning", "s3:GetBucketVersioning"),
    ("GET", r"^/[^/?]+\?.*uploads", "s3:ListBucketMultipartUploads"),
    ("GET", r"^/[^/?]+/.*uploadId=", "s3:ListMultipartUploadParts"),
    ("DELETE", r"^/[^/?]+/.*uploadId=", "s3:AbortMultipartUpload"),
    ("DELETE", r"^/[^/?]+/", "s3:DeleteObject"),
    ("PUT", r"^/[^/?]+/", "s3:PutObject"),
    ("POST", r"^/[^/?]+/.*upload", "s3:PutObject"),
    ("GET", r"^/[^/?]+/", "s3:GetObject"),
    ("HEAD", r"^/[^/?]+/", "s3:GetObject"),
)
"""What a request needs, by AWS's service authorization reference; the first that fits."""


def needed(request: Request) -> tuple[str, str]:
    """(action, resource)."""
    action = next(a for method, path, a in ACTIONS if method == request.method and re.search(path, request.path))
    path = urllib.parse.unquote(request.path.partition("?")[0]).strip("/")
    return action, f"arn:aws:s3:::{path}"


def allowed(policy: str, prefix: str, action: str, resource: str) -> bool:
    text = (
        (REPOSITORY / "infra/s3" / policy)
        .read_text(encoding="utf-8")
        .replace("BUCKET", BUCKET)
        .replace("PREFIX", prefix)
    )
    for statement in json.loads(text)["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        if (
            statement["Effect"] == "Allow"
            and action in actions
            and fnmatch.fnmatchcase(resource, statement["Resource"])
        ):
            return True
    return False


@pytest.fixture
def traffic(bucket, moto, publish, monkeypatch, tmp_path):
    """What each role asks the server for."""
    large = tmp_path / "large.safetensors"
    large.write_bytes(bytes(17 << 20))
    seen: dict[str, list[Request]] = {}
    with proxy(int(moto.endpoint.rpartition(":")[2])) as watching:
        monkeypatch.setenv("AWS_ENDPOINT_URL", watching.endpoint)
        registry = bucket.registry()
        publish(registry)
        registry.publish("adult", {"w.safetensors": large}, "large", {})
        registry.promote("adult", "v1")
        seen["writer.json"] = list(watching.seen)
        watching.begin()
        reader = bucket.registry()
        reader.names()
        reader.listing("adult")
        reader.load("adult", "champion")
        seen["reader.json"] = list(watching.seen)
        watching.begin()
        bucket.overwrite("adult/uploads/00000001-" + "0" * 32 + "/" + "0" * 64, b"half")
        bucket.client.create_multipart_upload(
            Bucket=BUCKET, Key=f"{bucket.prefix}/adult/uploads/00000001-{'1' * 32}/{'1' * 64}"
        )
        assert bucket.registry().collect().removed == 2
        seen["collector.json"] = list(watching.seen)
    return bucket.prefix, seen


def test_each_role_may_do_what_it_does_and_nothing_that_changes_what_is_registered(traffic):
    prefix, seen = traffic
    for policy, requests in seen.items():
        for action, resource in {needed(request) for request in requests}:
            assert allowed(policy, prefix, action, resource), (policy, action, resource)
    record = f"arn:aws:s3:::{BUCKET}/{prefix}/adult/aliases/1.json"
    for policy in seen:
        assert not allowed(policy, prefix, "s3:DeleteObject", record)
        assert not allowed(policy, prefix, "s3:GetObject", f"arn:aws:s3:::{BUCKET}/elsewhere")
    assert not allowed("reader.json", prefix, "s3:PutObject", record)
    assert not allowed("collector.json", prefix, "s3:PutObject", record)


def test_writes_are_allowed_on_condition_that_they_create():
    policy = json.loads((Path(REPOSITORY) / "infra/s3/writer.json").read_text(encoding="utf-8"))
    writes = [s for s in policy["Statement"] if "s3:PutObject" in s["Action"]]
    assert [s["Condition"] for s in writes] == [
        {"Null": {"s3:if-none-match": "false"}},
        {"Bool": {"s3:ObjectCreationOperation": "false"}},
    ]


def test_a_worker_with_a_remote_sees_reads_and_adds_and_removes_nothing():
    objects = f"arn:aws:s3:::{BUCKET}/work/files/md5/ab/cd"
    assert allowed("worker.json", "work", "s3:ListBucket", f"arn:aws:s3:::{BUCKET}")
    assert all(allowed("worker.json", "work", action, objects) for action in ("s3:GetObject", "s3:PutObject"))
    assert not allowed("worker.json", "work", "s3:DeleteObject", objects)
    assert not allowed("worker.json", "work", "s3:PutObject", f"arn:aws:s3:::{BUCKET}/models/adult")
