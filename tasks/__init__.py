"""What a run does: one module per stage.

Here, before any stage imports a library, the libraries are told to ask nothing of the outside world and to wait for a
busy machine. What the user has set in the environment stays.
"""

import os

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
WITHOUT_PROXY = ("no_proxy", "NO_PROXY")

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


def _keep_loopback_from_proxies() -> None:
    """Where the user has a proxy: servers of this machine, as a run and the production set start them, are not behind it."""
    if not any(os.environ.get(name) or os.environ.get(name.upper()) for name in PROXIES):
        return
    # Of the two spellings libraries know one or the other.
    given = [name.strip() for variable in WITHOUT_PROXY for name in os.environ.get(variable, "").split(",")]
    if "*" not in given:
        os.environ.update(dict.fromkeys(WITHOUT_PROXY, ",".join(dict.fromkeys([*filter(None, given), *LOOPBACK]))))


_keep_loopback_from_proxies()
