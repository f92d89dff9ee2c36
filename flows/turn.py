"""One deployed retraining of a model at a time, whichever worker and working copy it runs in: Prefect's limit per model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

LIMIT_SECONDS = 60.0
"""How long a slot stays taken after its holder was killed; a live one renews it."""


def limit_of(model: str) -> str:
    """The name of a model's limit on the server. Its height, 1 at first, is the user's to change."""
    return f"equipoise-{model}"


@contextlib.contextmanager
def turn(model: str) -> Iterator[None]:
    """Wait for a slot of the model's limit, and hold it; at once where the run is of no deployment."""
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.deployment_id is None:
        yield
        return
    from prefect.concurrency.sync import concurrency

    name = limit_of(model)
    _see_to(name)
    # A server that is away for a while does not end a training that is under way.
    with concurrency(name, occupy=1, lease_duration=LIMIT_SECONDS, strict=True, raise_on_lease_renewal_failure=False):
        yield


def _see_to(name: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            # Another run may make it at this moment.
            with contextlib.suppress(ObjectAlreadyExists):
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
