"""Ctrl-C that is never lost: where Python can only pass over an exception, the interrupt comes again."""

import signal
import sys
import threading
from typing import Any

AGAIN_SECONDS = 0.1


def insist_on_interrupts() -> None:
    """Have the KeyboardInterrupt that met a finalizer, or the callback of a weak reference, raised once more in the main thread.

    Nothing can be raised out of such code: Python would print the exception, and the process would go on as if nobody
    had asked it to stop. To be called once, by the process's entry point.
    """
    tell = sys.unraisablehook

    def hook(passed_over: Any) -> None:
        if issubclass(passed_over.exc_type, KeyboardInterrupt) and not sys.is_finalizing():
            timer = threading.Timer(AGAIN_SECONDS, _interrupt)
            timer.daemon = True
            timer.start()
        else:
            tell(passed_over)

    sys.unraisablehook = hook


def _interrupt() -> None:
    """As the terminal does it: what the main thread waits for ends, too."""
    ident = threading.main_thread().ident
    assert ident is not None
    signal.pthread_kill(ident, signal.SIGINT)
