"""What a training of the search costs beyond its own work: processes, Tune, waiting for the slowest of a rung.

Run it: `make bench-search-overhead`. The figure is (wall time of the stage - time inside trials / trials at once) /
trainings, with the settings of params.yaml on Adult (or the embedded data).
"""

from __future__ import annotations

import json
import logging
import sys
import time

from benchmarks.searched import Prepared, prepared
from benchmarks.table import Row, publish

RUNS = 1


def main() -> None:
    """Search and publish."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    rows: dict[str, list[float]] = {
        "beyond its work, per training": [],
        "whole stage": [],
        "inside trials, both cores": [],
    }
    with prepared("adult") as ready:
        trials = 0
        for _ in range(RUNS):
            wall, inside, at_once = _timed(ready)
            rows_of_trials = json.loads((ready.root / "data/tune/trials.json").read_text())["trials"]
            trials = len({row["training"] for row in rows_of_trials})
            rows["beyond its work, per training"].append((wall - inside / at_once) / trials)
            rows["whole stage"].append(wall)
            rows["inside trials, both cores"].append(inside)
        publish(
            "search_overhead",
            f"The search on {ready.name}: {trials} trainings, {at_once} at once",
            [
                Row(label, values, "s", at_most=1.0 if label.startswith("beyond") else None)
                for label, values in rows.items()
            ],
            notes=[
                "Starting and stopping Ray, reading and encoding the rows, and waiting at the end of each rung are all "
                "counted as overhead."
            ],
        )


def _timed(ready: Prepared) -> tuple[float, float, int]:
    """Wall seconds of a search, seconds inside its trainings by their own clocks, and how many ran at once."""
    began = time.perf_counter()
    trainings = ready.watched()
    wall = time.perf_counter() - began
    at_once = max(sum(other.began <= one.began < other.ended for other in trainings) for one in trainings)
    return wall, sum(one.ended - one.began for one in trainings), at_once


if __name__ == "__main__":
    main()
