"""What methods are shown of training before an epoch: all rows as the net sees them now, and its parameters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from models.balancing.component import Sampler, Seen, State, Surveying, View
from models.data import Split
from models.learners.net_model import evaluation_rows
from models.learners.objective import acting, values_of

if TYPE_CHECKING:
    from models.learners.population import Population


@torch.no_grad()
def survey(population: Population) -> None:
    """Let every acting method that asks for it look at its member's training, one member after the other."""
    p = population
    for key, part in acting(p.active).items():
        if not (isinstance(part, Surveying) and part.surveys):
            continue
        p.net.eval()
        found: list[State] = []
        for position in range(len(p.alive)):
            hyper = {k: p.hyper[k][position] for k in p.hyper_keys}
            state = {k: v[position] for k, v in p.state[key].items()}
            found.append(part.with_values(values_of(key, hyper)).survey(state, _view(p, position)))
            if isinstance(part, Sampler) and part.judges_anew(state, found[-1]):
                p.best_loss[position], p.waited[position] = math.inf, 0
        p.state[key] = {k: torch.stack([f[k] for f in found]) for k in p.state[key]}


def _view(population: Population, position: int) -> View:
    """One member's training."""
    p = population
    parameters = {k: v.detach()[position] for k, v in p.weights.views.items()}

    def seen(split: Split) -> Seen:
        pieces = torch.arange(len(split), device=p.device).split(evaluation_rows(p.net))
        made = [p.objective.predict(parameters, split.numeric[rows], split.categorical[rows]) for rows in pieces]
        features, logits = (torch.cat([m[i] for m in made]) for i in (0, 1))
        return Seen(features, logits, split.labels, split.groups, split.weights)

    progress = p.epoch / p.plan.budget
    generator = p.generators[p.alive[position]]
    return View(parameters, lambda: seen(p.train), lambda: seen(p.valid), p.statistics, generator, progress)
