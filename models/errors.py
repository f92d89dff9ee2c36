"""The errors that a user can cause or must hear of; each says what was wrong, where, and what to do."""

import difflib
from collections.abc import Iterable


class EquipoiseError(Exception):
    """Base of every error with a message meant for the user. `exit_code` is what the command returns."""

    exit_code = 1


class InputError(EquipoiseError, ValueError):
    """Wrong usage or input: a file, a parameter, a name. Nothing has been changed."""

    exit_code = 2


class RefusedError(EquipoiseError):
    """A check or a gate has refused to go on. The run is in order; the data or the model is not good enough."""

    exit_code = 3


class AllFailedError(EquipoiseError):
    """No trial of a search has come to a result, so that there is nothing to choose from."""


class DeviceLostError(EquipoiseError):
    """An accelerator does not answer any more. What was finished is kept."""


class BusyError(EquipoiseError):
    """Another run holds what this one needs."""

    exit_code = 1


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the closest valid name, or lists the valid ones when none is close."""
    names = sorted(str(k) for k in known)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean '{close[0]}'?"
    return "Known: " + ", ".join(names) + "."
