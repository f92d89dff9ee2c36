"""A population's whole state between two epochs, out of it and into it again, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from models.learners.branching import renumber
from models.learners.learner import Checkpoint, Outcome
from models.learners.net_model import NetModel
from models.learners.objective import prefixed

if TYPE_CHECKING:
    from models.learners.population import Population


def checkpoint(population: Population) -> Checkpoint:
    """The whole state after an epoch."""
    p = population
    tensors = {
        "flat": p.weights.flat, "first": p.optimizer.first, "second": p.optimizer.second,
        "best": p.best, "best_loss": p.best_loss, "waited": p.waited,
        **{f"buffer/{k}": v for k, v in p.buffers.items()},
        **{f"best_buffer/{k}": v for k, v in p.best_buffers.items()},
        **{f"hyper/{k}": v for k, v in p.hyper.items()},
        **{f"state/{key}/{k}": v for key, part in p.state.items() for k, v in part.items()},
        **{f"rows/{k}": v for k, v in p.row_state.items()},
        **{f"guessed/{k}": v for k, v in p.pool.guesses.items()},
        **{f"generator/{i}": g.get_state() for i, g in enumerate(p.generators)},
    }  # fmt: skip
    if p.anchors is not None:
        tensors["anchors"] = p.anchors
    for i, outcome in enumerate(p.outcomes):
        if isinstance(outcome.model, NetModel):
            tensors.update({f"done/{i}/{k}": v for k, v in outcome.model.tensors().items()})
    numbers = {
        "epoch": p.epoch, "phase": p.phase, "steps": p.optimizer.steps, "alive": list(p.alive),
        "outcomes": [{"error": o.error, "budget_used": o.budget_used, "history": list(o.history)} for o in p.outcomes],
    }  # fmt: skip
    return Checkpoint({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, numbers)


def restore(population: Population, saved: Checkpoint) -> None:
    """Go on where a checkpoint was made, bit for bit; the population is as new."""
    p, (tensors, numbers) = population, saved
    on_host = ("generator/", "best_loss", "waited")
    get = {k: v.to(p.device).clone() for k, v in tensors.items() if not k.startswith(on_host)}
    p.epoch, count = numbers["epoch"], len(numbers["outcomes"])
    p.anchors = get.get("anchors")
    renumber(
        p, [torch.Generator() for _ in range(count)], [Outcome(None) for _ in range(count)], list(numbers["alive"])
    )
    p.hyper = prefixed(get, "hyper/")
    p.weights.replace(get["flat"].clone())
    p.enter(numbers["phase"], anew=False)
    p.pool = p.pool._replace(guesses=prefixed(get, "guessed/"))
    p.weights.replace(get["flat"])
    p.optimizer.first, p.optimizer.second = get["first"], get["second"]
    p.optimizer.steps = numbers["steps"]
    p.optimizer.rate = p.hyper["learning_rate"][:, None]
    p.optimizer.decay = p.hyper["weight_decay"][:, None]
    p.best, p.best_loss, p.waited = get["best"], tensors["best_loss"], tensors["waited"]
    p.buffers.update(prefixed(get, "buffer/"))
    p.best_buffers = prefixed(get, "best_buffer/")
    p.state = {key: prefixed(get, f"state/{key}/") for key in p.state}
    p.row_state = prefixed(get, "rows/")
    p.sound = p.all_sound()
    for i, generator in enumerate(p.generators):
        generator.set_state(tensors[f"generator/{i}"])
    for i, outcome in enumerate(numbers["outcomes"]):
        done = prefixed(get, f"done/{i}/")
        model = NetModel(p.architecture, done) if done else None
        p.outcomes[i] = Outcome(model, outcome["error"], outcome["budget_used"], list(outcome["history"]))
