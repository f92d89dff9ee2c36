"""Successive halving: how much each rung may spend, and who goes on."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.search.choice import Goal, Standing


def budget(full: int, halving: int, rungs: int, rung: int) -> int:
    """Budget of a rung 0 … rungs - 1: the full one on the last, divided by `halving` on each before; at least 1."""
    return max(1, round(full / halving ** (rungs - 1 - rung)))


def survivors(standings: Sequence[Standing], halving: int, goal: Goal) -> list[int]:
    """The trials that go on, in the order of their ids: the best one in `halving` of all that ran, and at least one.

    Those that failed count among all that ran, but never go on.
    """
    alive = [s for s in standings if s.metrics is not None]
    keep = max(1, len(standings) // halving)
    return sorted(s.trial for s in sorted(alive, key=goal.rank)[:keep])
