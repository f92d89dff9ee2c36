"""What one member's training minimizes on one batch, written for one model: the recipe's methods, called in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from models.balancing.component import Component, Mixer, Regularizer, State
from models.balancing.pretext import Pretext
from models.data import Batch, targets_of
from models.learners.augmenting import MOVES, PARTNER_MOVES, moved
from models.learners.dropout import KEPT
from models.learners.weights import OWN
from models.learners.workers import Workers
from models.nets.net import Net
from models.recipe import Recipe
from models.schema import Task

Columns = tuple[Tensor, ...]
"""The columns of a batch's rows: inputs, categories, labels, groups, weights, rows, values, champion; none where there is no batch."""


def prefixed(values: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The values whose names begin so, by the rest of their names."""
    return {k[len(prefix) :]: v for k, v in values.items() if k.startswith(prefix)}


def first(tree: Any) -> Any:
    """The first member of a tree of tensors [P, …]."""
    if isinstance(tree, dict):
        return {k: first(v) for k, v in tree.items()}
    if isinstance(tree, tuple):
        return tuple(first(v) for v in tree)
    return tree[0]


def stacked(tree: Any) -> Any:
    """The tree of one member as that of a population of one."""
    if isinstance(tree, dict):
        return {k: stacked(v) for k, v in tree.items()}
    if isinstance(tree, tuple):
        return tuple(stacked(v) for v in tree)
    return tree[None]


def _mean(tree: Any) -> Any:
    """The mean over the members of a tree of tensors [k, …]; of counts and flags, which are the same for all, the first."""
    if isinstance(tree, dict):
        return {k: _mean(v) for k, v in tree.items()}
    if isinstance(tree, tuple):
        return tuple(_mean(v) for v in tree)
    return tree.mean(0) if tree.is_floating_point() else tree[0]


def values_of(key: str, hyper: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters of the method with this key, by their own names."""
    return {k.rpartition(".")[2]: v for k, v in hyper.items() if k.rpartition(".")[0] == key}


def gradients_of(loss: Tensor, parameters: list[Tensor], parts: Tensor | None, one_by_one: bool) -> list[Tensor | None]:
    """Gradients of a loss, or [k, …] of k `parts` of it at once; one by one where a pass back talks to other processes."""
    if parts is None or not one_by_one:
        return list(torch.autograd.grad(loss, parameters, parts, allow_unused=True, is_grads_batched=parts is not None))
    rows = [torch.autograd.grad(loss, parameters, p, allow_unused=True, retain_graph=True) for p in parts]
    return [None if own[0] is None else torch.stack(own) for own in zip(*rows, strict=True)]


class Objective:
    """The loss of the methods that act in one phase, as a function of one member's parameters and one batch.

    `names` are the names of all parameters, `buffers` the net's buffers by name. With `frozen` the representation gets no gradient;
    with `per_class` the loss comes in parts, one per class, and one more for the penalties. `task` is the kind of target;
    a `pretext` stands in the place of everything that looks at it. Of several `workers` each passes a share of the rows
    through the body.
    """

    def __init__(
        self,
        net: Net,
        buffers: Mapping[str, Tensor],
        recipe: Recipe,
        names: list[str],
        device: torch.device,
        frozen: bool,
        task: Task,
        pretext: Pretext | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.task, self.pretext, self.workers = task, pretext, workers
        # Older GPUs have no units for bfloat16 and compute it far more slowly than what it stands for.
        self.mixed = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        self.net, self.buffers, self.recipe, self.device, self.frozen = net, buffers, recipe, device, frozen
        self.per_class = recipe.optimize is not None and recipe.optimize.per_class
        self._parts = {
            part: [(n, n[len(part) + 1 :]) for n in names if n.startswith(f"{part}.")]
            for part in ("embed", "body", "classifier")
        }
        # Mapped over members, a linear layer adds its bias by itself, and one in float32 would make all that follows so.
        self._lowered = {f"body.{n}" for n in _linear(net.body)} if self.mixed else set()
        owners = {key: f"{OWN}{part.name}." for key, part in recipe.components().items()}
        if pretext is not None:
            owners["pretext"] = f"{OWN}{pretext.name}."
        self._own = {key: [(n, n[len(o) :]) for n in names if n.startswith(o)] for key, o in owners.items()}

    def call(self, part: str, parameters: Mapping[str, Tensor], *arguments: Tensor) -> Tensor:
        """One part of the net, with these parameters."""
        tensors = prefixed(self.buffers, f"{part}.")
        for full, short in self._parts[part]:
            value = parameters[full]
            tensors[short] = value.to(torch.bfloat16) if full in self._lowered else value
        called: Tensor = functional_call(getattr(self.net, part), tensors, arguments)
        return called

    def represent(
        self, parameters: Mapping[str, Tensor], embedded: Tensor, draws: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Embedded inputs -> features [B, H]; of several members [B, k, H]. The draws may hold which units are kept."""
        kept = (draws or {}).get(KEPT)
        given = (embedded,) if kept is None else (embedded, kept)
        if self.workers is None:
            features = self.call("body", parameters, *given)
        else:
            own = self.call("body", parameters, *map(self.workers.share, given))
            features = self.workers.together(own, len(embedded))
        return features.detach() if self.frozen else features

    def classify(self, parameters: Mapping[str, Tensor], features: Tensor) -> tuple[Tensor, Tensor]:
        """Features -> the same and logits [B, O], float32; of several members [B, k, …]."""
        return features.float(), self.call("classifier", parameters, features).float()

    def forward(self, parameters: Mapping[str, Tensor], embedded: Tensor) -> tuple[Tensor, Tensor]:
        """Embedded inputs -> features [B, H] and logits [B, O], float32; of several members [B, k, …]."""
        return self.classify(parameters, self.represent(parameters, embedded))

    def predict(self, parameters: Mapping[str, Tensor], inputs: Tensor, categories: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and categories -> features [B, H] and logits [B, O] of the whole model, made as in training."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            return self.net.together(*self.forward(parameters, self.call("embed", parameters, inputs, categories)))

    def averaged(self, judge: Callable[[Tensor, Tensor], Any], features: Tensor, logits: Tensor) -> Any:
        """What `judge` makes of features [B, H] and logits [B, O]; of several members, the mean over them."""
        if self.net.members is None:
            return judge(features, logits)
        return _mean(vmap(judge, in_dims=(1, 1))(features, logits))

    def state_of(
        self,
        key: str,
        state: Mapping[str, State],
        parameters: Mapping[str, Tensor],
        draws: Mapping[str, Tensor] | None = None,
    ) -> State:
        """What a method remembers, its own parameters, and what it has drawn for the batch."""
        own = {short: parameters[full] for full, short in self._own[key]}
        return {**state[key], **own, **prefixed(draws or {}, f"{key}/")}

    def __call__(
        self,
        parameters: dict[str, Tensor],
        state: dict[str, State],
        hyper: dict[str, Tensor],
        columns: Columns,
        partner: Columns,
        draws: dict[str, Tensor],
        progress: Tensor,
    ) -> tuple[Tensor, dict[str, State]]:
        """The loss [] (or its parts) of one member on one batch, and the next state of its methods.

        `draws` are the random numbers of the batch by `key/name`.
        """
        if self.pretext is not None:
            return self._pretext(self.pretext, parameters, columns, draws), dict(state)
        recipe = self.recipe.with_values(hyper)
        following = dict(state)

        def keep(key: str, changed: State) -> None:
            following[key] = {name: changed[name] for name in state[key]}

        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            batch = self._batch(parameters, columns, draws.get(MOVES))
            other = self._batch(parameters, partner, draws.get(PARTNER_MOVES)) if partner else None
            if recipe.mix is not None and recipe.mix.at == "inputs":
                batch = recipe.mix.mix(state["mix"], batch, other, prefixed(draws, "mix/"), progress)
            features = self.represent(parameters, batch.inputs, draws)
            if recipe.mix is not None and recipe.mix.at == "features":
                batch, features = self._mixed(
                    recipe.mix, parameters, batch, features, other, state["mix"], draws, progress
                )
            features, logits = self.classify(parameters, features)
        whole = self.net.together(features, logits)
        batch = batch._replace(features=whole[0], logits=whole[1])
        known = self.state_of("loss", state, parameters, draws)
        losses = self.averaged(
            lambda f, z: recipe.loss.losses(known, z, batch._replace(features=f), progress), features, logits
        )
        if state["loss"]:
            keep("loss", recipe.loss.advance(known, whole[1].detach(), batch, progress))
        factor = batch.weights
        if recipe.weigh is not None:
            known = self.state_of("weigh", state, parameters, draws)
            weights, changed = recipe.weigh.weigh(known, losses.detach(), batch, progress)
            keep("weigh", changed)
            factor = factor * weights
        total = losses if recipe.loss.set_level else self._reduced(losses, factor, batch)
        penalties = []
        for part in recipe.regularize:
            key = f"regularize.{part.name}"
            penalize = partial(self._penalty, part, self.state_of(key, state, parameters, draws), batch, progress)
            penalty, changed = self.averaged(penalize, features, logits)
            keep(key, changed)
            penalties.append(penalty)
        if self.per_class:
            return torch.cat([total, torch.stack([*penalties, total.new_zeros(())]).sum()[None]]), following
        for penalty in penalties:
            total = total + penalty
        return total, following

    def _mixed(
        self,
        mix: Mixer,
        parameters: Mapping[str, Tensor],
        batch: Batch,
        features: Tensor,
        other: Batch | None,
        state: State,
        draws: Mapping[str, Tensor],
        progress: Tensor,
    ) -> tuple[Batch, Tensor]:
        """The batch and its features as they are mixed just before the classifier."""
        if other is not None:
            other = other._replace(inputs=self.represent(parameters, other.inputs, draws))
        mixed = mix.mix(state, batch._replace(inputs=features), other, prefixed(draws, "mix/"), progress)
        return mixed._replace(inputs=batch.inputs), mixed.inputs

    def _pretext(
        self, pretext: Pretext, parameters: dict[str, Tensor], columns: Columns, draws: Mapping[str, Tensor]
    ) -> Tensor:
        """What the pretext makes of the features of its views []; of several members, the mean over them."""
        known = {short: parameters[full] for full, short in self._own["pretext"]}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            features = tuple(
                self.represent(parameters, self.call("embed", parameters, *view)).float()
                for view in pretext.views((columns[0], columns[1]), draws)
            )
        if self.net.members is None:
            return pretext.loss(known, features, draws)
        return vmap(lambda *f: pretext.loss(known, f, draws), in_dims=1)(*features).mean()

    @staticmethod
    def _penalty(
        part: Regularizer, known: State, batch: Batch, progress: Tensor, features: Tensor, logits: Tensor
    ) -> tuple[Tensor, State]:
        return part.penalty(known, features, logits, batch._replace(features=features), progress)

    def _batch(self, parameters: Mapping[str, Tensor], columns: Columns, moves: Tensor | None = None) -> Batch:
        inputs, categories, labels, groups, weights, rows, values, champion = columns
        embedded = self.call("embed", parameters, inputs if moves is None else moved(inputs, moves), categories)
        targets = targets_of(labels, values, self.net.outputs, self.task)
        return Batch(embedded, categories, targets, labels, groups, weights, rows, task=self.task, champion=champion)

    def _reduced(self, losses: Tensor, factor: Tensor, batch: Batch) -> Tensor:
        """The weighted mean of the batch [], or the mean of each class's rows [C]."""
        if not self.per_class:
            return (factor * losses).sum() / batch.weights.sum().clamp(min=1e-12)
        shares = batch.targets * batch.weights[:, None]
        rows = batch.targets * (factor * losses)[:, None]
        return rows.sum(0) / shares.sum(0).clamp(min=1e-12)


def _linear(module: nn.Module) -> list[str]:
    """The names of the parameters of a module's linear layers."""
    layers = [(path, m) for path, m in module.named_modules() if isinstance(m, nn.Linear)]
    return [f"{path}.{name}" for path, layer in layers for name, _ in layer.named_parameters()]


def acting(recipe: Recipe) -> dict[str, Component]:
    """The methods that take part in a step or in drawing its rows, by key; with the loss always among them."""
    slots = ("sample", "mix", "loss", "weigh", "regularize", "optimize")
    return {key: part for key, part in recipe.components().items() if part.slot in slots}
