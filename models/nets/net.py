"""What every architecture is made of: inputs -> embedded inputs -> features -> logits."""

from __future__ import annotations

from torch import Tensor, nn

from models.balancing.component import Head
from models.nets.members import MEAN, Members
from models.schema import Task


def activation(head: Head | None) -> nn.Module:
    """A new activation: the one that the head brings, or a ReLU."""
    brought = head.activation() if head is not None else None
    return brought if brought is not None else nn.ReLU()


class Net(nn.Module):
    """Three parts, called one after the other, so that methods can act between them.

    `embed` turns a batch's inputs and categories into one float tensor (mixing acts on it), `body` turns that into
    features [B, H], `classifier` turns features into logits [B, O]: one per class, one per label, or the standardized
    number itself, as `task` says.

    A net that is an ensemble in itself has `members`: its body gives the features [B, k, H] of each, and its classifier
    the logits [B, k, O]. Losses and penalties judge the members one by one; for everything else `together` makes them
    one model.
    """

    def __init__(
        self,
        embed: nn.Module,
        body: nn.Module,
        features: int,
        outputs: int,
        head: Head | None,
        members: int | None = None,
        task: Task = "multiclass",
    ) -> None:
        super().__init__()
        self.embed = embed
        self.body = body
        self.features, self.outputs, self.head, self.members, self.task = features, outputs, head, members, task
        self.classifier = self.new_classifier()

    def new_classifier(self) -> nn.Module:
        """A classifier as this net's, drawn anew from the global generator."""
        if self.members is None:
            return self._one_classifier()
        return Members([self._one_classifier() for _ in range(self.members)])

    def _one_classifier(self) -> nn.Module:
        if self.head is not None:
            return self.head.classifier(self.features, self.outputs)
        return nn.Linear(self.features, self.outputs)

    def together(self, features: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, H] and logits [B, O] of the whole model: the members' mean features and mean probabilities or numbers."""
        if self.members is None:
            return features, logits
        return features.mean(-2), MEAN[self.task](logits)

    def forward(self, inputs: Tensor, categories: Tensor) -> Tensor:
        """Inputs and categories of B rows -> logits [B, O]."""
        features = self.body(self.embed(inputs, categories))
        return self.together(features, self.classifier(features))[1]

    @property
    def undecayed(self) -> set[str]:
        """Parameters that weight decay leaves alone although they are no vectors: scales and biases of several members.

        A module names its own in `spared`.
        """
        return {f"{path}.{name}" for path, m in self.named_modules() for name in getattr(m, "spared", ())}

    @property
    def batched(self) -> bool:
        """Whether a population can run it as one program: running statistics cannot be stacked."""
        return not any(b.is_floating_point() for b in self.body.buffers())
