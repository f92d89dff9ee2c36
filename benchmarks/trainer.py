"""The training loop against the same net fed by a DataLoader, on Adult (or the embedded data), 2 threads.

Run it: `make bench-trainer`. It prints rows/s of both, their ratio, and the share of a step that batches cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.encoded import Encoded, encoded_data
from benchmarks.table import Row, publish
from models.learners.batches import columns, row_order
from models.learners.learner import Member, Plan
from models.learners.torch import MLP, Population, build_net
from models.recipe import parse

EPOCHS, RUNS, BATCH, THREADS = 3, 5, 512, 2
PLAN = Plan(budget=EPOCHS, batch_size=BATCH, hidden=(256, 256), patience=EPOCHS)
RATES = {"learning_rate": 1e-3, "weight_decay": 0.1}


def population(data: Encoded) -> Population:
    """One member of plain cross-entropy, ready to train."""
    recipe = parse("none")
    architecture = MLP().architecture(recipe, data.inputs, data.train.classes, PLAN)
    member = Member(RATES, 0)
    made = Population(recipe, [member], [build_net(architecture, 0)], data.train, data.valid, PLAN)
    made.architecture = architecture
    return made


def ours(data: Encoded) -> float:
    """Rows per second of the product's loop, its judging on validation rows included."""
    made = population(data)
    made.run_epoch()
    began = time.perf_counter()
    for _ in range(EPOCHS - 1):
        made.run_epoch()
    return len(data.train) * (EPOCHS - 1) / (time.perf_counter() - began)


def batches_share(data: Encoded) -> float:
    """Time of drawing the order and gathering every batch of an epoch, over the time of the whole epoch."""
    made = population(data)
    made.run_epoch()
    began = time.perf_counter()
    made.run_epoch()
    whole = time.perf_counter() - began
    steps = len(data.train) // BATCH
    began = time.perf_counter()
    order = row_order(made, steps, BATCH)
    for step in range(steps):
        columns(made.train, order[:, step])
    return (time.perf_counter() - began) / whole


def dataloader(workers: int) -> Callable[[Encoded], float]:
    """Rows per second of the same net, loss and optimizer in the usual loop over a DataLoader; no validation."""

    def measure(data: Encoded) -> float:
        net = build_net(MLP().architecture(parse("none"), data.inputs, data.train.classes, PLAN), 0)
        optimizer = torch.optim.AdamW(net.parameters(), lr=RATES["learning_rate"], weight_decay=RATES["weight_decay"])
        dataset = TensorDataset(data.train.numeric, data.train.categorical, data.train.labels)
        loader = DataLoader(
            dataset, BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
        )

        def epoch() -> None:
            for batch in loader:
                inputs, categories, labels = (t if isinstance(t, Tensor) else torch.as_tensor(t) for t in batch)
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(inputs, categories), labels).backward()
                optimizer.step()

        epoch()
        began = time.perf_counter()
        for _ in range(EPOCHS - 1):
            epoch()
        return len(data.train) * (EPOCHS - 1) / (time.perf_counter() - began)

    return measure


def main() -> None:
    """Measure in turns, so that what else the machine does falls on all alike."""
    torch.set_num_threads(THREADS)
    data = encoded_data("adult")
    systems = {
        "DataLoader, 2 workers": dataloader(2),
        "DataLoader, 0 workers": dataloader(0),
        "Equipoise": ours,
    }
    found: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(RUNS):
        for name, measure in systems.items():
            found[name].append(measure(data))
    shares = [batches_share(data) for _ in range(RUNS)]
    rows = [
        Row(name, values, "rows/s", ratio_at_least=1.5 if name == "Equipoise" else None)
        for name, values in found.items()
    ]
    rows.append(Row("share of a step spent on batches", shares, "fraction", at_most=0.05))
    publish(
        "trainer", f"MLP 256-256, batch {BATCH}, {data.name}, {THREADS} threads", rows, peer="DataLoader, 2 workers"
    )


if __name__ == "__main__":
    main()
