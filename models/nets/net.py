"""What every architecture is made of: inputs -> embedded inputs -> features -> logits."""

from __future__ import annotations

from torch import Tensor, nn

from models.balancing.component import Head


class Net(nn.Module):
    """Three parts, called one after the other, so that methods can act between them.

    `embed` turns a batch's inputs and categories into one float tensor (mixing acts on it), `body` turns that into
    features [B, H], `classifier` turns features into logits [B, C].
    """

    def __init__(self, embed: nn.Module, body: nn.Module, features: int, classes: int, head: Head | None) -> None:
        super().__init__()
        self.embed = embed
        self.body = body
        self.classifier = head.classifier(features, classes) if head is not None else nn.Linear(features, classes)
        self.features = features

    def forward(self, inputs: Tensor, categories: Tensor) -> Tensor:
        """Inputs and categories of B rows -> logits [B, C]."""
        logits: Tensor = self.classifier(self.body(self.embed(inputs, categories)))
        return logits

    @property
    def batched(self) -> bool:
        """Whether a population can run it as one program: running statistics cannot be stacked."""
        return not any(b.is_floating_point() for b in self.body.buffers())
