"""An interrupt that meets code which cannot raise it is not lost."""

import signal
import subprocess
import sys

import pytest

PASSED_OVER = """
import time
import weakref

from tasks.interrupts import insist_on_interrupts


class Held:
    pass


def wait(_=None):
    print("begun", flush=True)
    time.sleep(60)


class Finalized:
    def __del__(self):
        wait()


insist_on_interrupts()
try:
    held = {}
    held = None
    print("goes on", flush=True)
    time.sleep(60)
    print("was not interrupted")
except KeyboardInterrupt:
    print("interrupted")
"""
BY = {"a finalizer": "Finalized()", "a weak reference": "Held(); kept = weakref.ref(held, wait)"}


@pytest.mark.parametrize("by", BY)
def test_an_interrupt_that_python_passes_over_comes_again(by: str) -> None:
    script = PASSED_OVER.format(BY[by])
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert output == "goes on\ninterrupted\n"
