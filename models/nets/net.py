"""What every architecture is made of: inputs -> embedded inputs -> features -> logits."""

from __future__ import annotations

from torch import Tensor, nn

from models.balancing.component import Head


def activation(head: Head | None) -> nn.Module:
    """A new activation: the one that the head brings, or a ReLU."""
    brought = head.activation() if head is not None else None
    return brought if brought is not None else nn.ReLU()


class Net(nn.Module):
    """Three parts, called one after the other, so that methods can act between them.

    `embed` turns a batch's inputs and categories into one float tensor (mixing acts on it), `body` turns that into
    features [B, H], `classifier` turns features into logits [B, C].
    """

    def __init__(self, embed: nn.Module, body: nn.Module, features: int, classes: int, head: Head | None) -> None:
        super().__init__()
        self.embed = embed
        self.body = body
        self.features, self.classes, self.head = features, classes, head
        self.classifier = self.new_classifier()

    def new_classifier(self) -> nn.Module:
        """A classifier as this net's, drawn anew from the global generator."""
        if self.head is not None:
            return self.head.classifier(self.features, self.classes)
        return nn.Linear(self.features, self.classes)

    def forward(self, inputs: Tensor, categories: Tensor) -> Tensor:
        """Inputs and categories of B rows -> logits [B, C]."""
        logits: Tensor = self.classifier(self.body(self.embed(inputs, categories)))
        return logits

    @property
    def batched(self) -> bool:
        """Whether a population can run it as one program: running statistics cannot be stacked."""
        return not any(b.is_floating_point() for b in self.body.buffers())
