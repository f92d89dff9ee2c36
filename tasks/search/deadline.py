"""When a training has to end, so that its results come in before the time of the search is up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from models.learners.learner import TimeIsUp

SCORING_SECONDS = 0.3
"""About the time that scoring one trial takes, as long as none has been scored."""


class Deadline:
    """A point in time, `at` by `clock`, and what this process has learned of its own pace. Without `at`, never.

    `pace` is how long scoring one trial takes.
    """

    def __init__(self, at: float | None, clock: Callable[[], float] = time.time, pace: float = SCORING_SECONDS) -> None:
        self._at = at
        self._clock = clock
        self.pace = pace
        self._trials = 0
        self._last = clock()

    def begin(self, trials: int) -> None:
        """Training for so many trials begins now."""
        self._trials, self._last = trials, self._clock()

    def over(self) -> bool:
        """Whether the time is up already, for whoever asks before an epoch is over."""
        return self._at is not None and self._clock() + self.pace * self._trials > self._at

    def check(self) -> None:
        """An epoch is over: raise TimeIsUp if there is no time for another one and the scores after it."""
        now = self._clock()
        epoch, self._last = now - self._last, now
        if self._at is not None and now + epoch + self.pace * self._trials > self._at:
            raise TimeIsUp

    @contextlib.contextmanager
    def scoring(self) -> Iterator[None]:
        """Around the scoring of all trials, whose pace is remembered."""
        began = self._clock()
        yield
        self.pace = (self._clock() - began) / max(1, self._trials)
