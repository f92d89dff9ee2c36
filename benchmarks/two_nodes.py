"""What a second node of Ray brings a search: two nodes of one core each against one, started as `make production` does.

Run it: `make bench-two-nodes`. The same trainings, each a trial of one core, run on the head alone and then on the head and
a worker node; counted from the beginning of the first to the end of the last, by the trials' own clocks.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
import tempfile
from pathlib import Path

from benchmarks.searched import Prepared, prepared
from benchmarks.table import Row, publish
from infra.production.ray_cluster import start_node, variables_of
from infra.production.settings import ROOT
from infra.production.supervisor import Supervisor
from models.errors import EquipoiseError
from tests.s3_server import free_port

RECIPES = (
    "none", "weighted_ce", "balanced_softmax", "logit_adjusted", "focal", "ldam", "label_smoothing", "class_balanced",
)  # fmt: skip
SETTINGS = (
    f"search.recipes=[{','.join(RECIPES)}]", "model.learners=[mlp]", f"search.budget.trials={len(RECIPES)}",
    "search.rounds=1", "search.rungs=1", "search.subject_to={}", "model.epochs=24", "model.hidden=[128,128]",
    "resources.device=cpu", "resources.ray=auto",
)  # fmt: skip


def main() -> None:
    """Search on one node, start the other, and search again."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    with prepared("adult", *SETTINGS) as ready, tempfile.TemporaryDirectory(prefix="nodes-", dir="/tmp") as folder:
        home = Path(folder)
        variables = variables_of(free_port(), secrets.token_hex(32), home / "token")
        os.environ.update(variables)
        with Supervisor(home / "logs", lambda line: print(line, file=sys.stderr)) as supervisor:
            rates = {}
            for nodes, role in enumerate(("head", "worker"), 1):
                start_node(role, 1, variables, ROOT, home, supervisor)
                rates[nodes] = _rate(ready, nodes)
    publish(
        "two_nodes",
        f"Trainings of a search on nodes of one core, {ready.name}",
        [
            Row("one node", [rates[1]], "trainings/s"),
            Row("two nodes", [rates[2]], "trainings/s", peer="one node", ratio_at_least=1.7),
        ],
        notes=[
            f"{len(RECIPES)} trainings, each a trial of one core, on nodes of one core each, on one machine; the start of "
            "their processes is not counted."
        ],
    )


def _rate(ready: Prepared, nodes: int) -> float:
    """Trainings per second of one search. Raises EquipoiseError unless as many processes as nodes have trained."""
    trainings = ready.watched(os.environ["RAY_ADDRESS"])
    processes = {one.process for one in trainings}
    if len(trainings) != len(RECIPES) or len(processes) != nodes:
        raise EquipoiseError(f"expected {len(RECIPES)} trainings by {nodes} processes, saw {trainings}")
    return len(trainings) / (max(one.ended for one in trainings) - min(one.began for one in trainings))


if __name__ == "__main__":
    main()
