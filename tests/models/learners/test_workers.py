"""Several processes train as one: the same rows, and the same model up to rounding."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import distributed as dist

from models.data import Split
from models.errors import InputError
from models.learners import learner
from models.learners.learner import Input, Member, Plan
from models.learners.objective import Objective
from models.learners.workers import Workers
from models.recipe import parse

COUNT = 2
INPUTS = Input(4, (3,))
PLAN = Plan(budget=2, batch_size=31, hidden=(8,), patience=10)
RECIPES = [
    ("mlp", "none"),
    ("mlp", "class_balanced_sampling"),  # the weighted sampler
    ("mlp", "group_dro_stratified_batches"),  # a state of groups, and a sampler that orders the rows itself
    ("mlp", "feasible_learning_mixup_adversary_sam"),  # rows remember, are mixed, an adversary learns, two passes
    ("mlp", "f_beta_loss_error_rate_gap"),  # a loss and a penalty of the whole batch
    ("mlp", "per_class_normalized_balanced_mixup"),  # gradients by class, two batches
    ("mlp", "margin_balanced"),  # looks at all rows before every epoch
    ("mlp", "crt"),  # a body that is frozen at last
    ("mlp", "uniform_soup"),  # members that part
    ("mlp", "corrupted_columns"),  # learns without labels at first
    ("tabm", "focal_cvar_dro"),
]


def make(rows: int, seed: int) -> Split:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 4, generator=g)
    x[:, 3] = torch.arange(rows) / rows  # says which row it is
    c = torch.randint(0, 3, (rows, 1), generator=g)
    groups = torch.randint(0, 2, (rows,), generator=g)
    labels = (x[:, 0] + 0.5 * (c[:, 0] == 1) + 0.3 * torch.randn(rows, generator=g) > 0.9).long()
    ones, none = torch.ones(rows), torch.zeros(rows, dtype=torch.bool)
    return Split(x, c, labels, groups, ones, torch.arange(rows), none, 2, 2)


TRAIN, VALID = make(190, 0), make(51, 1)


def train(name: str, text: str, workers: Workers | None = None) -> dict[str, torch.Tensor]:
    """Two seeds of a recipe as one population; logits, history and the rows of every batch as one member's net saw them."""
    recipe, chosen = parse(text), learner(name)
    space = {**chosen.space(), **recipe.space()}
    values = {**{k: r.default for k, r in space.items()}, **({"dropout": 0.2} if name == "mlp" else {})}
    plan = dataclasses.replace(PLAN, workers=workers)
    outcomes = chosen.fit(recipe, [Member(values, s) for s in (1, 2)], TRAIN, VALID, INPUTS, plan)
    assert all(o.error is None for o in outcomes), outcomes
    return {
        "logits": torch.stack([o.model.logits(VALID) for o in outcomes]),
        "history": torch.tensor([o.history for o in outcomes]),
    }


def rows_seen(workers: Workers | None = None) -> torch.Tensor:
    """The rows that pass through the body in one training with the weighted sampler, batch by batch."""
    seen, represent = [], Objective.represent

    def recording(self, parameters, embedded, draws=None):
        if torch.is_grad_enabled():
            own = embedded if workers is None else workers.share(embedded)
            seen.append((own[:, 3] * len(TRAIN)).round().long())
        return represent(self, parameters, embedded, draws)

    Objective.represent = recording
    try:
        values = {k: r.default for k, r in learner("mlp").space().items()}
        plan = dataclasses.replace(PLAN, workers=workers, batch_size=32)
        learner("mlp").fit(parse("class_balanced_sampling"), [Member(values, 1)], TRAIN, VALID, INPUTS, plan)
    finally:
        Objective.represent = represent
    return torch.stack(seen)


def everything(workers: Workers | None = None) -> dict[str, torch.Tensor]:
    torch.set_num_threads(1)
    found = {f"{n}/{t}/{k}": v for n, t in RECIPES for k, v in train(n, t, workers).items()}
    return {**found, "rows": rows_seen(workers)}


@pytest.fixture(scope="module")
def by_worker(tmp_path_factory, repository) -> list[dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("workers")
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(rank), str(folder)], cwd=repository,
            env={**os.environ, "PYTHONPATH": str(repository), "GLOO_SOCKET_IFNAME": "lo"},
        )
        for rank in range(COUNT)
    ]  # fmt: skip
    assert [process.wait(120) for process in processes] == [0] * COUNT
    return [safetensors.torch.load_file(folder / f"{rank}.safetensors") for rank in range(COUNT)]


@pytest.fixture(scope="module")
def alone() -> dict[str, torch.Tensor]:
    return everything()


@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_workers_train_the_model_of_one_process(by_worker, alone, name, recipe):
    for kind in ("logits", "history"):
        key = f"{name}/{recipe}/{kind}"
        torch.testing.assert_close(by_worker[0][key], alone[key], rtol=1e-3, atol=1e-3)
        assert torch.equal(by_worker[0][key], by_worker[1][key])


def test_the_workers_epochs_are_row_for_row_those_of_one_process(by_worker, alone):
    shares = [found["rows"] for found in by_worker]
    assert shares[0].shape[1] == shares[1].shape[1] == alone["rows"].shape[1] // 2
    assert torch.equal(torch.stack(shares, -1).reshape(alone["rows"].shape), alone["rows"])
    drawn = torch.bincount(TRAIN.labels[alone["rows"].reshape(-1)], minlength=2).double()
    assert float(TRAIN.labels.double().mean()) < 0.3
    assert float(drawn[1] / drawn.sum()) == pytest.approx(0.5, abs=0.1)


def test_a_net_that_normalizes_by_the_batch_is_refused():
    plan = dataclasses.replace(PLAN, workers=object())
    with pytest.raises(InputError, match=r"resources\.workers: 1"):
        learner("resnet32").fit(parse("none"), [], TRAIN, VALID, INPUTS, plan)


def main(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=COUNT)
    safetensors.torch.save_file(everything(Workers()), folder / f"{rank}.safetensors")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
