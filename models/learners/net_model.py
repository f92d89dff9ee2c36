"""A trained net as a model, how it is built from its description, and how methods change its classifier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from models.balancing.component import Head, TrainedNet, WeightAdjuster
from models.balancing.discovery import component
from models.data import Split, Statistics
from models.learners.learner import Model
from models.nets.mlp import mlp
from models.nets.net import Net
from models.nets.resnet32 import resnet32
from models.nets.tabm import tabm
from models.recipe import Recipe

EVALUATION_ROWS = 8192
"""Rows that a net sees at once outside of training, where each is seen by one member."""


def evaluation_rows(net: Net) -> int:
    """Rows that this net sees at once outside of training."""
    return max(1, EVALUATION_ROWS // (net.members or 1))


class NetModel(Model):
    """A trained net."""

    kind = "net"

    def __init__(self, architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self._architecture = dict(architecture)
        self._tensors = {k: v.detach() for k, v in tensors.items()}
        self._net: Net | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers by name."""
        return dict(self._tensors)

    def architecture(self) -> dict[str, Any]:
        """What `build_net` needs."""
        return dict(self._architecture)

    @classmethod
    def rebuild(cls, architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> NetModel:
        """The inverse of `tensors` and `architecture`."""
        return cls(architecture, tensors)

    def net(self, device: torch.device | str) -> Net:
        """The net itself, on a device, as it is outside of training."""
        if self._net is None:
            self._net = build_net(self._architecture, seed=0)
            self._net.load_state_dict(self._tensors)
        return self._net.to(device).eval()

    @torch.no_grad()
    def logits(self, split: Split) -> Tensor:
        """Rows -> logits [n, O]."""
        net = self.net(split.labels.device)
        return torch.cat([net(inputs, categories) for inputs, categories in _pieces(net, split)]).float()

    @torch.no_grad()
    def features(self, split: Split, member: int | None = None) -> Tensor:
        """Rows -> features [n, H], which the classifier turns into logits; of a net of several members, those of one."""
        net, found = self.net(split.labels.device), []
        for inputs, categories in _pieces(net, split):
            features = net.body(net.embed(inputs, categories))
            found.append(features if member is None else features[:, member].clone())
        return torch.cat(found).float()

    def with_classifier(self, head: str | None, classifier: Mapping[str, Tensor]) -> NetModel:
        """The same representation under another classifier: the name of its head and its tensors by name."""
        kept = {k: v for k, v in self._tensors.items() if not k.startswith("classifier.")}
        tensors = {**kept, **{f"classifier.{k}": v for k, v in classifier.items()}}
        return NetModel({**self._architecture, "classifier": head}, tensors)


def _pieces(net: Net, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    rows = evaluation_rows(net)
    return zip(split.numeric.split(rows), split.categorical.split(rows), strict=True)


def build_net(architecture: Mapping[str, Any], seed: int) -> Net:
    """A net from its description, with weights drawn from `seed` and the global generator left as it was.

    `classes` is the number of outputs, `task` the kind of target (a class where it is not said). `head` names the head that the net is made with; `classifier`, where there is one, the head whose classifier stands
    in the place of that one's.
    """
    head, task = _head(architecture["head"]), architecture.get("task", "multiclass")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if architecture["net"] == "resnet32":
            net = resnet32(
                architecture["channels"],
                architecture["mean"],
                architecture["deviation"],
                architecture["classes"],
                head,
                task,
            )
        elif architecture["net"] == "tabm":
            net = tabm(
                architecture["edges"], architecture["cardinalities"], architecture["members"], architecture["hidden"],
                architecture["classes"], head, architecture["embedding"], task,
            )  # fmt: skip
        else:
            net = mlp(
                architecture["numeric"],
                architecture["cardinalities"],
                architecture["hidden"],
                architecture["classes"],
                head,
                task,
            )
        if "classifier" in architecture:
            net.head = _head(architecture["classifier"])
            net.classifier = net.new_classifier()
    return net


def _head(name: str | None) -> Head | None:
    if name is None:
        return None
    head = component(name, "head").build({})
    assert isinstance(head, Head)
    return head


def adjusted(model: NetModel, recipe: Recipe, train: Split, seed: int) -> NetModel:
    """The model as the recipe's methods that change weights leave it, one after the other."""
    generator = torch.Generator().manual_seed(seed)
    for part in recipe.adjust:
        if isinstance(part, WeightAdjuster):
            description, tensors = model.architecture(), model.tensors()
            head = description.get("classifier", description["head"])
            device, prefix = train.labels.device, "classifier."
            classifier = {k.removeprefix(prefix): v.to(device) for k, v in tensors.items() if k.startswith(prefix)}
            members = description.get("members")
            nets = [TrainedNet(head, classifier, model.features)] if members is None else [
                TrainedNet(head, {k: v[m] for k, v in classifier.items()}, partial(model.features, member=m))
                for m in range(members)
            ]  # fmt: skip
            changed = [part.reweigh(net, train, Statistics.of(train), generator) for net in nets]
            head, found = changed[0]
            if members is not None:
                found = {k: torch.stack([own[k] for _, own in changed]) for k in found}
            model = model.with_classifier(head, found)
    return model
