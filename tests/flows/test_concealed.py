"""What flows say is without credentials, whatever says it."""

import logging

import pytest

from flows.concealed import _Concealing
from flows.retrain import retrain
from models.errors import InputError

ADDRESS, SHOWN = "https://me:hunter2@example.org/x", "https://example.org/x"


def record(message, *args, **kwargs):
    make = _Concealing(logging.LogRecord)
    return make("equipoise", logging.INFO, __file__, 1, message, args, None, **kwargs)


def test_a_line_of_a_log_is_without_credentials_in_message_and_stack():
    found = record("asked %s", ADDRESS, sinfo=f"Stack: {ADDRESS}")
    assert (found.getMessage(), found.stack_info) == (f"asked {SHOWN}", f"Stack: {SHOWN}")


def test_an_argument_that_cannot_be_said_stops_nobody():
    class Mute:
        def __str__(self):
            raise RuntimeError("mute")

    assert isinstance(record("%s", Mute()).args[0], Mute)


def test_overrides_that_cannot_be_read_are_said_without_credentials():
    with pytest.raises(InputError, match=r"example\.org") as caught:
        retrain.fn(overrides=[ADDRESS])
    assert "hunter2" not in str(caught.value)
