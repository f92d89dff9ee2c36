"""CutMix, and CMO: paste a box of one image into another; with CMO the pasted image is of a rare class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Mixer, Need, Sampler, Source, State, hyper
from models.balancing.sample.class_balanced_sampling import PowerSampling
from models.data import Batch


def box(share: Tensor, centre: Tensor, height: int, width: int) -> Tensor:
    """A mask [height, width], 1 in the box around `centre` in [0, 1]^2 that covers 1 - share of the image where it fits."""
    side = torch.sqrt(1 - share)
    inside = []
    for place, size in ((centre[0], height), (centre[1], width)):
        middle = torch.floor(place * size)
        half = torch.floor(torch.floor(size * side) / 2)
        at = torch.arange(size, device=share.device)
        inside.append((at >= middle - half) & (at < middle + half))
    return (inside[0][:, None] & inside[1][None, :]).to(share.dtype)


def pasted(batch: Batch, inputs: Tensor, targets: Tensor, mask: Tensor) -> Batch:
    """The batch with other images pasted where the mask is 1, targets by the shares of the area."""
    area = mask.mean()
    return batch._replace(
        inputs=batch.inputs * (1 - mask) + inputs * mask, targets=batch.targets * (1 - area) + targets * area
    )


def box_draws(generator: torch.Generator, steps: int, batch: int) -> dict[str, Tensor]:
    """Whether to paste [steps], the share, from Beta(1, 1) [steps], the centre [steps, 2], partners [steps, batch]."""
    return {
        "whether": torch.rand(steps, generator=generator),
        "share": torch.rand(steps, generator=generator),
        "centre": torch.rand(steps, 2, generator=generator),
        "partners": torch.rand(steps, batch, generator=generator).argsort(-1),
    }


@dataclass(frozen=True)
class CutMix(Mixer):
    """Boxes from other images of the same batch, in a share of the batches."""

    probability: float | Tensor = hyper(0.5, 0.1, 1.0, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "cutmix"
    formula: ClassVar[str] = "x = (1-M) x_i + M x_j, t = (1-|M|) t_i + |M| t_j, |M| = 1 - s, s ~ Beta(1, 1)"
    needs: ClassVar[frozenset[Need]] = frozenset({"image"})
    source: ClassVar[Source] = Source(
        "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features",
        "S. Yun, D. Han, S. J. Oh, S. Chun, J. Choe, Y. Yoo",
        2019,
        "arXiv:1905.04899",
    )
    claim: ClassVar[Claim] = Claim(
        "makes a net generalize better by mixing patches of images", "image_tail", "accuracy"
    )

    def draw(self, generator: torch.Generator, steps: int, batch: int) -> dict[str, Tensor]:
        """The boxes and the partners."""
        return box_draws(generator, steps, batch)

    def mix(
        self, state: State, batch: Batch, partner: Batch | None, draws: Mapping[str, Tensor], progress: Tensor
    ) -> Batch:
        """Images [B, channels, height, width] -> images with a box of their partners."""
        mask = box(draws["share"], draws["centre"], batch.inputs.shape[-2], batch.inputs.shape[-1])
        mask = mask * (draws["whether"] < self.probability)
        partners = draws["partners"]
        return pasted(batch, batch.inputs[partners], batch.targets[partners], mask)


@dataclass(frozen=True)
class ContextRichMinority(Mixer):
    """CMO: images as they are drawn are the background, boxes of images drawn by n_c^-power the foreground.

    The power is that of an image's chance, as in the authors' code, so that at 1 all classes are drawn alike; in the paper's
    text it is that of a class's chance. The first and the last 1.5% of training are without it, as published (3 of 200 epochs).
    """

    probability: float | Tensor = hyper(0.5, 0.1, 1.0, minimum=0.0, maximum=1.0)
    power: float | Tensor = hyper(1.0, 0.5, 2.0, minimum=0.0, maximum=4.0)

    name: ClassVar[str] = "cmo"
    formula: ClassVar[str] = "x = (1-M) x_b + M x_f, t = (1-|M|) t_b + |M| t_f, x_f drawn by n_c^-r"
    needs: ClassVar[frozenset[Need]] = frozenset({"image"})
    source: ClassVar[Source] = Source(
        "The Majority Can Help The Minority: Context-rich Minority Oversampling for Long-tailed Classification",
        "S. Park, Y. Hong, B. Heo, S. Yun, J. Y. Choi",
        2021,
        "arXiv:2112.00412",
    )
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes by pasting them into frequent ones' images",
        "image_tail",
        "balanced_accuracy",
    )

    def partners(self) -> Sampler:
        """Each row is drawn in proportion to n_c^-power, so class c to n_c^(1-power)."""
        return PowerSampling(1 - self.power)

    def draw(self, generator: torch.Generator, steps: int, batch: int) -> dict[str, Tensor]:
        """The boxes."""
        return box_draws(generator, steps, batch)

    def mix(
        self, state: State, batch: Batch, partner: Batch | None, draws: Mapping[str, Tensor], progress: Tensor
    ) -> Batch:
        """Background images and minority images [B, channels, height, width] -> backgrounds with a box of foreground."""
        assert partner is not None
        mask = box(draws["share"], draws["centre"], batch.inputs.shape[-2], batch.inputs.shape[-1])
        on = (draws["whether"] < self.probability) & (progress >= 0.015) & (progress < 0.985)
        return pasted(batch, partner.inputs, partner.targets, mask * on)
