"""Training ends early enough for its results, and not before."""

import pytest

from models.learners.learner import TimeIsUp
from tasks.search.deadline import SCORING_SECONDS, Deadline


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def epochs(deadline, clock, seconds):
    """How many epochs of so many seconds there is time for."""
    done = 0
    while True:
        clock.now += seconds
        done += 1
        try:
            deadline.check()
        except TimeIsUp:
            return done


def test_it_ends_with_the_last_epoch_that_leaves_time_for_the_scores():
    clock = Clock()
    deadline = Deadline(60.0, clock)
    deadline.begin(trials=10)
    done = epochs(deadline, clock, 4.0)
    assert done * 4.0 + 10 * SCORING_SECONDS <= 60.0
    assert (done + 1) * 4.0 + 10 * SCORING_SECONDS > 60.0


def test_the_pace_of_scoring_is_remembered():
    clock = Clock()
    deadline = Deadline(100.0, clock)
    deadline.begin(trials=2)
    with deadline.scoring():
        clock.now += 20.0
    deadline.begin(trials=4)
    assert clock.now + epochs(deadline, clock, 5.0) * 5.0 <= 100.0 - 4 * 10.0 + 20.0


def test_without_a_limit_it_never_ends():
    deadline = Deadline(None, Clock())
    deadline.begin(trials=1)
    deadline.check()


def test_one_epoch_is_always_trained():
    clock = Clock()
    deadline = Deadline(-1.0, clock)
    deadline.begin(trials=1)
    with pytest.raises(TimeIsUp):
        deadline.check()
