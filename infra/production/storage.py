"""The S3 server of the set, and the bucket in it."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterable
from typing import Any

from infra.production.ceph import Ceph
from infra.production.settings import HOST, ROOT, S3, Settings
from infra.production.supervisor import Program, Supervisor, listens
from models.errors import InputError
from tasks.remote import VARIABLE

REGION = "us-east-1"
NOT_THERE = ("404", "NoSuchBucket")


def start(settings: Settings, supervisor: Supervisor) -> dict[str, str]:
    """Start it, unless one is given, and see to the bucket; the variables of AWS's chain that lead there."""
    port = settings.s3.port
    if settings.s3.use == "given":
        variables: dict[str, str] = {}
    elif settings.s3.use == "ceph":
        variables = _variables(port, *Ceph(settings, supervisor).start())
    else:
        words = (sys.executable, "-m", "infra.production.memory_s3", str(port))
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        supervisor.start(Program("s3-in-memory", words, lambda: listens(HOST, port), {"PYTHONPATH": path}))
        # It takes any; these are for this start alone, as everything in it.
        variables = _variables(port, secrets.token_hex(10).upper(), secrets.token_hex(20))
    see_to_bucket(settings.s3.bucket, variables)
    return variables


def work(s3: S3) -> dict[str, str]:
    """The variable that leads runs to what others have finished."""
    return {} if s3.work is None else {VARIABLE: f"s3://{s3.bucket}/{s3.work}"}


def see_to_bucket(bucket: str, variables: dict[str, str]) -> None:
    """Make the bucket where it is missing. Raises InputError when the server or the credentials are not right."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        s3 = client(variables)
        try:
            s3.head_bucket(Bucket=bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] not in NOT_THERE:
                raise
            s3.create_bucket(Bucket=bucket, **_where(s3))
    except (BotoCoreError, ClientError) as error:
        raise InputError(
            f"infra/production.yaml: s3: the bucket '{bucket}' could not be reached or made: {error}"
        ) from error


def _where(s3: Any) -> dict[str, Any]:
    """AWS wants to be told the region of a new bucket, unless it is the one that has no name there."""
    region = s3.meta.region_name
    if region in (None, REGION, "aws-global"):
        return {}
    return {"CreateBucketConfiguration": {"LocationConstraint": region}}


def remove_below(bucket: str, prefixes: Iterable[str]) -> str | None:
    """Remove all objects of the user's own storage below these; why that could not be done, if it could not."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        s3 = client({})
        for prefix in prefixes:
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
                for found in page.get("Contents", ()):
                    s3.delete_object(Bucket=bucket, Key=found["Key"])
    except (BotoCoreError, ClientError) as error:
        return str(error)
    return None


def client(variables: dict[str, str]) -> Any:
    """A client of the server; AWS's own chain where `variables` is empty."""
    import boto3
    from botocore.config import Config

    if not variables:
        return boto3.client("s3")
    session = boto3.Session(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"], region_name=REGION)
    return session.client(
        "s3", endpoint_url=variables["AWS_ENDPOINT_URL"], config=Config(s3={"addressing_style": "path"})
    )


def _variables(port: int, key: str, secret: str) -> dict[str, str]:
    endpoint = f"http://{HOST}:{port}"
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ENDPOINT_URL_S3": endpoint,  # of these two the latter counts, and the user may have set it
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_SESSION_TOKEN": "",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
