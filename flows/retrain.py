"""The main job as a Prefect flow: from the data's source to a registered model with a verdict."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import Task, flow
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, StateType, TaskRun
from prefect.context import TaskRunContext
from prefect.states import Completed

from flows import artifacts
from flows.asked import NOTHING, Asked, settings_of
from flows.concealed import conceal_parameters, concealed
from flows.outcome import ModelRefusedError, read_outcome
from flows.pipeline import STEPS
from flows.run import Run, opened
from flows.turn import turn
from models.errors import BusyError, InputError, RefusedError
from tasks.identity import redacted
from tasks.overrides import Settings, parse_settings
from tasks.progress import display, duration, shown_by

log = logging.getLogger("equipoise")


def stage_task(name: str, publish: Callable[[Path], None] | None = None) -> Task[[Run], State[Any]]:
    """One stage as a task; `publish` shows in the UI what the stage wrote."""
    step = STEPS[name]

    def perform(run: Run) -> State[Any]:
        _tag(step.tags)
        log.info("%s", step.says, extra={"step": name, "event": "begins"})
        began = time.monotonic()
        with concealed():
            with shown_by(artifacts.Progress(display())):
                done = run.bring_up_to_date(name)
            if publish is not None:
                publish(run.root)
        took = time.monotonic() - began
        log.info("%s", done if done != "ran" else duration(took), extra={"step": name, "event": "ends", "done": done})
        return Completed(name="Completed" if done == "ran" else done.capitalize(), message=f"{step.says}: {done}")

    perform.__name__ = name
    perform.__doc__ = f"{step.says[0].upper()}{step.says[1:]}."
    return Task(
        perform,
        name=name,
        timeout_seconds=step.timeout,
        retries=step.retries,
        retry_delay_seconds=step.retry_delay,
        retry_condition_fn=_may_help,
        cache_policy=NO_CACHE,
        persist_result=False,
    )


def _tag(tags: tuple[str, ...]) -> None:
    """Tag the task's run, for the UI.

    Tags of the task itself would have Prefect ask the server for a limit on each before it starts; there is none, and a
    server on SQLite that is just writing the last task's end answers "try again", seconds later.
    """
    context = TaskRunContext.get()
    if context is not None:
        context.task_run.tags = list(tags)


def _may_help(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Wrong input, a refusal or a busy working copy stay what they are; a fault of the network or the disk may pass."""
    return not isinstance(state.result(raise_on_failure=False), (InputError, RefusedError, BusyError))


ingest = stage_task("ingest")
validate = stage_task("validate")
split = stage_task("split")
start = stage_task("start")
resample = stage_task("resample")
tune = stage_task("tune", artifacts.leaderboard)
train = stage_task("train")
evaluate = stage_task("evaluate")
audit = stage_task("audit")
gate = stage_task("gate", artifacts.verdict)
report = stage_task("report", artifacts.report)
register = stage_task("register")


@flow(name="retrain", persist_result=False, validate_parameters=True)
def retrain(
    params: Asked = NOTHING,
    params_file: str | None = None,
    overrides: dict[str, Any] | list[str] | None = None,
    wait: bool = False,
) -> State[Any]:
    """Retrain in the current working copy; what is up to date is skipped.

    The sections of `params`, a file and `overrides` change params.yaml for this run alone.

    Args:
        params_file: A YAML file on the worker's machine with what differs from params.yaml; what stands above goes before it.
        overrides: The same by names of keys: {"search.budget.trials": 8}, or ["search.budget.trials=8"]. They go before all else.
        wait: Wait for another run in the same working copy, in the place of being refused.
    """
    file = Path(params_file) if params_file else None
    try:
        with concealed():
            conceal_parameters()
            with opened(Path.cwd(), as_settings(params, overrides), file, wait) as run:
                if run.due:
                    run.check()
                with turn(run.chosen.params.model_name):
                    ingest(run)
                    validate(run)
                    split(run)
                    start(run)
                    resample(run)
                    tune(run)
                    train(run)
                    evaluate(run)
                    audit(run)
                    gate(run)
                    report(run)
                    register(run)
                    outcome = read_outcome(run.root, run.chosen.params)
                    artifacts.summary(outcome)
    except RefusedError as error:
        return refused(error)
    if outcome.decision == "refused":
        return refused(ModelRefusedError(outcome))
    return Completed(message=outcome.headline, data=outcome)


def refused(error: RefusedError) -> State[Any]:
    """The run is in order, the data or the model is not: for the UI a failure with a name of its own."""
    return State(type=StateType.FAILED, name="Refused", message=redacted(str(error)), data=error)


def as_settings(params: Asked, overrides: dict[str, Any] | list[str] | None) -> Settings:
    """The flow's `params` and `overrides` as pairs of key and value; the later ones win."""
    named = tuple(overrides.items()) if isinstance(overrides, dict) else parse_settings(overrides or ())
    return (*settings_of(params), *named)
