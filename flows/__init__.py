"""When things run: the flows, their deployments' code, and the `equipoise` command."""

import tasks  # noqa: F401  (sets what Prefect must find in the environment, before anything here imports Prefect)
