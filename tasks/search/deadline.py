"""When a training has to end, so that its results come in before the time of the search is up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from models.learners.learner import TimeIsUp

SCORING_SECONDS = 0.3
"""About the time that scoring one member takes, as long as this process has scored none."""


class Deadline:
    """A point in time, `at` by `clock`, and what this process has learned of its own pace. Without `at`, never."""

    def __init__(self, at: float | None, clock: Callable[[], float] = time.time) -> None:
        self._at = at
        self._clock = clock
        self._scoring = SCORING_SECONDS
        self._members = 0
        self._last = clock()

    def begin(self, members: int) -> None:
        """A training of so many members begins now."""
        self._members, self._last = members, self._clock()

    def check(self) -> None:
        """An epoch is over: raise TimeIsUp if there is no time for another one and the scores after it."""
        now = self._clock()
        epoch, self._last = now - self._last, now
        if self._at is not None and now + epoch + self._scoring * self._members > self._at:
            raise TimeIsUp

    @contextlib.contextmanager
    def scoring(self) -> Iterator[None]:
        """Around the scoring of all members, whose pace is remembered."""
        began = self._clock()
        yield
        self._scoring = (self._clock() - began) / max(1, self._members)
