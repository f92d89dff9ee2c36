"""The HTTP application: /predict answers with the champion, /health says who that is, /openapi.json what it takes."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, create_model

from models.errors import InputError
from models.schema import Task
from tasks.serving.body import Limited
from tasks.serving.log import PredictionLog
from tasks.serving.request import request_model, table_of
from tasks.serving.scorer import Answer, Scorer

log = logging.getLogger("equipoise")

CHAMPION, CHALLENGER = "champion", "challenger"
"""Roles of the versions in the log: who answered, and who was in the shadow."""


class Named(BaseModel):
    """What every answer to a row has."""

    prediction_id: str = Field(description="Under this name the prediction stands in the log.")


class Prediction(Named):
    """The answer to one row: a class."""

    decision: str
    probabilities: dict[str, float]


class LabelPrediction(Named):
    """The answer to one row: the labels decided for, and the probability of each."""

    decision: list[str]
    probabilities: dict[str, float]


class NumberPrediction(Named):
    """The answer to one row: a number, in the unit of the target."""

    prediction: float


ANSWERS: dict[Task, type[Named]] = {"multilabel": LabelPrediction, "regression": NumberPrediction}
"""What answers are for the kinds of target that are not classes."""


class Answered(BaseModel):
    """The answer to a request; `predictions` are made for the model that answers."""

    version: str
    notes: list[str] = Field(
        default_factory=list, description="Values that the model does not know, and took as missing."
    )


class Health(BaseModel):
    """Whether the server can answer, and who does."""

    status: str = "ok"
    version: str
    shadow: str | None


@dataclass(frozen=True)
class Service:
    """What the application answers with. Without a log nothing is written down."""

    champion: Scorer
    challenger: Scorer | None = None
    log: PredictionLog | None = None
    sensitive: bool = True


def create_app(service: Service) -> FastAPI:
    """The application for one service; the log is finished when it ends."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if service.log is not None:
            service.log.close()

    # The pages of documentation that FastAPI offers load their scripts from elsewhere.
    app = FastAPI(
        title=service.champion.label, version=service.champion.version, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.add_middleware(Limited)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(InputError, _unfit)
    Body = request_model(service.champion.predictor)
    One = ANSWERS.get(service.champion.kind, Prediction)
    Predictions = create_model("Predictions", __base__=Answered, predictions=(list[One], ...))  # type: ignore[valid-type]

    @app.get("/health")
    def health() -> Health:
        """Who answers."""
        shadow = service.challenger.label if service.challenger else None
        return Health(version=service.champion.label, shadow=shadow)

    def predict(request: BaseModel) -> BaseModel:
        """Score rows."""
        rows = table_of(request)
        answer = service.champion.answer(rows)
        names = [uuid.uuid4().hex for _ in range(len(rows))]
        _record(service, rows, names, answer)
        found = [
            One(prediction_id=name, **said) for name, said in zip(names, service.champion.said(answer), strict=True)
        ]
        return Predictions(version=service.champion.label, predictions=found, notes=_notes(answer))

    # The type of the body is only known now; as an annotation in the source it would be a text.
    predict.__annotations__ |= {"request": Body, "return": Predictions}
    app.post("/predict")(predict)
    return app


def _record(service: Service, rows: pd.DataFrame, names: list[str], answer: Answer) -> None:
    """Write the champion's answers to the log, and the challenger's beside them; a fault there never reaches the caller."""
    if service.log is None:
        return
    try:
        entries = _entries(service.champion, CHAMPION, rows, names, answer, service.sensitive)
        if service.challenger is not None:
            try:
                shadow = service.challenger.answer(rows)
                entries += _entries(service.challenger, CHALLENGER, rows, names, shadow, service.sensitive)
            except Exception:
                log.exception("serve: the challenger %s could not score a request", service.challenger.label)
        service.log.write(entries)
    except OSError as error:
        log.error(
            "serve: the prediction log cannot be written (%s); %d predictions are lost", error.strerror, len(names)
        )


def _entries(
    scorer: Scorer, role: str, rows: pd.DataFrame, names: list[str], answer: Answer, sensitive: bool
) -> list[dict[str, Any]]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    logged = scorer.logged(rows, sensitive).astype(object)
    columns = logged.where(logged.notna(), None).to_dict("records")
    return [
        {
            "time": now, "prediction_id": name, "version": scorer.label, "role": role, **said,
            "columns": {str(k): v for k, v in own.items()},
        }
        for name, own, said in zip(names, columns, scorer.said(answer), strict=True)
    ]  # fmt: skip


def _notes(answer: Answer) -> list[str]:
    notes = answer.notes
    return [
        f"column '{column}': {count} of these rows hold values unknown to the model; they count as missing"
        for column, count in notes.strange.items()
    ]


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """422 with every problem by row and column; what was sent is not repeated."""
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"errors": list(_problems(error))}, status_code=422)


def _problems(error: RequestValidationError) -> list[dict[str, Any]]:
    """One problem per row and column: of a value that fits none of several types, the last one that was tried."""
    found: dict[tuple[Any, Any], dict[str, Any]] = {}
    for problem in error.errors():
        place = [part for part in problem["loc"] if part != "body"]
        row = place[1] if len(place) > 1 and place[0] == "rows" and isinstance(place[1], int) else None
        column = place[2] if row is not None and len(place) > 2 else None
        message = {"missing": "it is missing", "extra_forbidden": "the model has no such column"}.get(
            problem["type"], problem["msg"]
        )
        found[row, column] = {"row": row, "column": column, "problem": message}
    return list(found.values())


async def _unfit(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"errors": [{"row": None, "column": None, "problem": str(error)}]}, status_code=422)
