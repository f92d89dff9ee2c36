"""The refit by several processes of Ray Train."""

import pytest
import torch

from models.data import Split
from models.learners import learner
from models.learners.learner import Input, Member, Plan
from models.recipe import parse
from tasks import parallel
from tasks.params import Resources

torch.set_num_threads(1)


def make(rows: int, seed: int) -> Split:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 4, generator=g)
    labels = (x[:, 0] + 0.3 * torch.randn(rows, generator=g) > 0.9).long()
    ones, none = torch.ones(rows), torch.zeros(rows, dtype=torch.bool)
    empty, groups = torch.zeros(rows, 0, dtype=torch.long), torch.zeros(rows, dtype=torch.long)
    return Split(x, empty, labels, groups, ones, torch.arange(rows), none, 2, 1)


@pytest.mark.slow
def test_two_workers_of_ray_train_refit_the_model_of_one_process(tmp_path):
    recipe, inputs, plan = parse("class_balanced_sampling"), Input(4), Plan(budget=3, batch_size=32, hidden=(8,))
    train, valid = make(300, 0), make(80, 1)
    values = {k: r.default for k, r in learner("mlp").space().items()}
    members = (Member(values, 1), Member(values, 2))
    training = parallel.Training(recipe, "mlp", members, inputs, plan, str(tmp_path / "work" / "train"), 1)
    heard = []
    resources = Resources(ray="local", workers=2, cpus_per_trial=0.5)
    together = parallel.fit(training, train, valid, resources, 0, heard.append)
    alone = learner("mlp").fit(recipe, list(members), train, valid, inputs, plan)
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a.model.logits(valid), b.model.logits(valid), rtol=1e-3, atol=1e-3)
        assert a.history == pytest.approx(b.history, rel=1e-3)
        assert a.budget_used == b.budget_used
    assert not list((tmp_path / "work").iterdir())
