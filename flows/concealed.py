"""Nothing secret goes to Prefect's server: not in log lines, messages of states or parameters of a run."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from models.errors import EquipoiseError
from tasks.identity import redacted

Factory = Callable[..., logging.LogRecord]


@contextlib.contextmanager
def concealed() -> Iterator[None]:
    """Run a flow or a task; what it says and what it raises is without credentials, those of libraries included.

    An error of a library whose message holds one becomes an EquipoiseError that names its kind.
    """
    _conceal_log_lines()
    try:
        yield
    except Exception as error:
        said, shown = str(error), redacted(str(error))
        if shown == said:
            raise
        if not isinstance(error, EquipoiseError):
            raise EquipoiseError(f"{type(error).__name__}: {shown}").with_traceback(error.__traceback__) from None
        error.args = (shown,)
        raise


def conceal_parameters() -> None:
    """Take credentials out of what the server keeps of the present run's parameters; the run itself goes on with them."""
    from prefect.client.orchestration import get_client
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    if run is None or (shown := redacted(run.parameters)) == run.parameters:
        return
    with get_client(sync_client=True) as client:
        client.update_flow_run(run.id, parameters=shown)


def _conceal_log_lines() -> None:
    """Of all loggers, whoever handles them: Prefect sets its own handlers up anew in every process."""
    present = logging.getLogRecordFactory()
    if not isinstance(present, _Concealing):
        logging.setLogRecordFactory(_Concealing(present))


class _Concealing:
    """Makes log records without credentials in message, traceback and stack."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._factory(*args, **kwargs)
        try:
            said = record.getMessage()
        except Exception:  # noqa: BLE001  # an argument may raise anything as it becomes text
            return record  # whoever handles it says what is wrong with it
        if (shown := redacted(said)) != said:
            record.msg, record.args = shown, None
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = redacted(logging.Formatter().formatException(record.exc_info))
        if record.stack_info:
            record.stack_info = redacted(record.stack_info)
        return record
