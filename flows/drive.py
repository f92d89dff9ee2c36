"""`equipoise run`: find out what is due before anything heavy is imported, then hand over to the flow and show it."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from flows.outcome import ModelRefusedError, Outcome, read_outcome
from flows.run import Run, held, opened
from flows.summary import show_outcome
from models.errors import EquipoiseError, RefusedError
from tasks.identity import redacted
from tasks.overrides import parse_settings

INTERRUPTED = 130
"""Exit code of a process that Ctrl-C ended, as shells have it."""


def drive(root: Path, settings: list[str], params_file: Path | None, wait: bool) -> int:
    """Run the pipeline and return the exit code. Raises EquipoiseError for what the user can mend."""
    gc.disable()  # what imports make stays, and the collector would look through all of it time and again
    try:
        with opened(root, parse_settings(settings), params_file, wait) as run:
            for change in run.chosen.changes:
                print(f"for this run: {change}")
            if not run.due:
                outcome = read_outcome(root, run.chosen.params)
                print("Nothing to do: every stage is up to date.")
                show_outcome(outcome)
                return outcome.exit_code
            print(f"Due: {', '.join(run.due)}, and what follows from them.", flush=True)
            return _retrain(run, settings, params_file)
    except KeyboardInterrupt:
        print(
            "\nInterrupted. Finished stages are kept: the same command goes on where this one stopped.", file=sys.stderr
        )
        return INTERRUPTED
    finally:
        gc.enable()


def _retrain(run: Run, settings: list[str], params_file: Path | None) -> int:
    """The flow, in this process; Prefect's own lines go to its UI, and ours to the terminal."""
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    from flows.console import shown

    with shown("starting Prefect"), held(run):
        from flows.server import own_server_if_none, startup_seconds

        server = own_server_if_none()
        run.check()  # imports what trains, while the server starts
        from flows.retrain import retrain

        gc.freeze()
        gc.enable()
        if server is not None:
            server.wait(startup_seconds())
        with _no_heartbeat():
            # The flow works with the run that is held; what is told here is for the server.
            state = retrain(
                params_file=str(params_file) if params_file else None, overrides=redacted(settings), return_state=True
            )
        error = state.result(raise_on_failure=False)  # what the flow returned, or what stopped it
    if isinstance(error, Outcome):
        show_outcome(error)
        return error.exit_code
    if isinstance(error, ModelRefusedError):
        show_outcome(error.outcome)
        return error.exit_code
    if isinstance(error, RefusedError):
        print(f"\nRefused: {error}", file=sys.stderr)
        return error.exit_code
    if isinstance(error, BaseException):
        raise error
    raise EquipoiseError(f"the flow ended as {state.name}: {state.message}. Run again; finished stages are kept.")


@contextlib.contextmanager
def _no_heartbeat() -> Iterator[None]:
    """No sign of life every three minutes, unless asked for: waiting for its thread takes up to a second at the end.

    It is for deployed runs, which nobody watches; those start the flow without coming by here.
    """
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, get_current_settings, temporary_settings

    if "heartbeat_frequency" in get_current_settings().flows.model_fields_set:
        yield
        return
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield
