"""What a run does: one module per stage.

Here, before any stage imports a library, the libraries are told to ask nothing of the outside world and to wait for a
busy machine. What the user has set in the environment stays.
"""

import os

ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # The stages' own lines become log lines of the run in Prefect's UI.
    "PREFECT_LOGGING_EXTRA_LOGGERS": "equipoise",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "RAY_USAGE_STATS_ENABLED": "0",
}

for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)
