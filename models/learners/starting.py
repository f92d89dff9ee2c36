"""Nets that begin with weights made from the champion's: whether they can, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from models.errors import InputError
from models.learners.learner import Member, Model, Plan
from models.learners.net_model import NetModel
from models.nets.net import Net
from models.recipe import Recipe
from models.seeds import derive_seed


def differing(architecture: Mapping[str, Any], models: Sequence[Model]) -> str | None:
    """Why nets of this architecture cannot begin with the weights of any of these models, as a clause; None if they can."""
    nets = [model for model in models if isinstance(model, NetModel)]
    if not nets:
        return "the champion is no net, so it has no weights to start from"
    theirs = nets[0].architecture()
    for name, value in architecture.items():
        if theirs.get(name) != value:
            return f"the champion's net has {name} {_shown(theirs.get(name))}, and here it would be {_shown(value)}"
    if theirs.get("classifier", theirs["head"]) != theirs["head"]:
        return "the champion's classifier is not the one that its net was trained with"
    return None


def begun(net: Net, recipe: Recipe, member: Member, plan: Plan) -> Net:
    """The net as the recipe lets it begin: with weights drawn anew, or with those that it makes from the champion's.

    Of several models of the champion the member's seed says which, so that it is the same in whatever company it trains.
    """
    if recipe.start is None:
        return net
    if not plan.champion:
        raise InputError(f"'{recipe.start.name}' starts from the champion, and no champion was handed to the training.")
    method = recipe.with_values(member.values).start
    assert method is not None
    tensors = plan.champion[member.seed % len(plan.champion)].tensors()
    names = [name for name, _ in net.named_parameters()]
    generator = torch.Generator().manual_seed(derive_seed(member.seed, "start"))
    made = method.begin({name: tensors[name].cpu() for name in names}, generator)
    net.load_state_dict({**{name: value.cpu() for name, value in tensors.items()}, **made})
    return net


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else "of another kind"
