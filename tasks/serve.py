"""Serving a registered model over HTTP, on this machine unless another address is asked for."""

from __future__ import annotations

import logging
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from models.errors import InputError, nearest
from models.schema import Target
from tasks.registry import open_registry, parse_reference
from tasks.serving.request import Unservable

log = logging.getLogger("equipoise")


@dataclass(frozen=True)
class Address:
    """Where the server listens; port 0 is any that is free."""

    host: str = "127.0.0.1"
    port: int = 8000


def serve(
    reference: str,
    address: Address,
    url: str = "file://registry",
    shadow: str | None = None,
    log_folder: Path | None = None,
    sensitive: bool = True,
) -> None:
    """Answer requests until the process is told to stop.

    `shadow` names an alias or a version of the same model that scores every request as well, for the log alone.
    `sensitive` says whether the log holds the columns that the schema declares sensitive. Raises InputError for a model
    that is not there or cannot be served, and for an address that is taken.
    """
    import uvicorn

    from tasks.serving.app import Service, create_app
    from tasks.serving.log import PredictionLog
    from tasks.serving.scorer import Scorer

    if shadow is not None and log_folder is None:
        raise InputError("--shadow compares in the prediction log: name its folder with --log.")
    registry = open_registry(url)
    name, _ = parse_reference(reference)
    champion = Scorer(registry, reference)
    challenger = Scorer(registry, shadow if "@" in shadow else f"{name}@{shadow}") if shadow is not None else None
    written = PredictionLog(log_folder) if log_folder is not None else None
    try:
        app = create_app(Service(champion, challenger, written, sensitive))
    except Unservable as error:
        raise InputError(
            f"{champion.label} cannot be served over JSON: {error}. Score files with `equipoise predict` instead."
        ) from None
    with _listening(address) as listener:
        # Whoever reads the line may connect at once.
        listener.listen(128)
        host, port = listener.getsockname()[:2]
        print(
            f"{champion.label} answers at http://{host}:{port}/predict; what it takes: http://{host}:{port}/openapi.json",
            flush=True,
        )
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


def _listening(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.host, address.port))
    except OSError as error:
        listener.close()
        raise InputError(
            f"{address.host}:{address.port} cannot be listened on ({error.strerror}). Choose another with --host and --port."
        ) from None
    return listener


def shadow_report(
    folder: Path, reference: str, labels: Path | None = None, url: str = "file://registry"
) -> dict[str, Any]:
    """The comparison of challenger and champion from a prediction log; `labels` names a file with prediction_id and target."""
    from models.metrics.figures import Terms
    from models.metrics.terms import BETA
    from models.predictor import Predictor
    from tasks.serving.log import log_files, read_log
    from tasks.serving.shadow import compare
    from tasks.stage import read_json

    loaded = open_registry(url).load(*parse_reference(reference))
    target = Predictor.load(loaded.directory / "predictor").schema.target
    judged = loaded.directory / "evaluation.json"
    beta = read_json(judged).get("beta", BETA) if judged.is_file() else BETA
    if not folder.is_dir():
        raise InputError(
            f"{folder} is no folder with a prediction log. Name the one that `equipoise serve --log` wrote."
        )
    known = _labels(labels, target) if labels is not None else None
    return compare(read_log(log_files(folder)), target, known, Terms(beta=beta))


def _labels(path: Path, target: Target) -> pd.Series:
    """The target as text by prediction id; of several labels from one column, or from a column each."""
    from tasks.monitoring.truth import in_rows
    from tasks.predict import pieces

    table = pd.concat([rows for rows, _ in pieces(path, ())], ignore_index=True)
    found = in_rows(table, target)
    for name, there in (("prediction_id", "prediction_id" in table), (target.column, found is not None)):
        if not there:
            raise InputError(f"{path}: there is no column '{name}'. {nearest(name, table.columns)}")
    assert found is not None
    known = pd.Series(found.to_numpy(), index=table["prediction_id"])[
        (table["prediction_id"].notna() & found.notna()).to_numpy()
    ]
    return known[~known.index.duplicated(keep="last")]
