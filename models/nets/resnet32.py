"""ResNet-32 of the CIFAR kind: three stages of five basic blocks with 16, 32 and 64 channels.

Source: K. He, X. Zhang, S. Ren, J. Sun, Deep Residual Learning for Image Recognition, arXiv:1512.03385, section 4.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.balancing.component import Head
from models.nets.net import Net, activation
from models.schema import Task


class Normalize(nn.Module):
    """Bytes to floats, standardized per channel with the mean and deviation of the training images."""

    def __init__(self, mean: list[float], deviation: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None])
        self.mean: Tensor
        self.deviation: Tensor

    def forward(self, inputs: Tensor, categories: Tensor) -> Tensor:
        """Images [B, channels, height, width] uint8 -> float, standardized."""
        standardized: Tensor = (inputs.float() / 255 - self.mean) / self.deviation
        # The order of an accelerator's convolutions: in torch's usual one each is put into it and back.
        if inputs.device.type == "cuda":
            return standardized.contiguous(memory_format=torch.channels_last)
        return standardized


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters (option A: subsampled, padded with zero channels)."""

    def __init__(self, channels_in: int, channels: int, stride: int, head: Head | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.activation1, self.activation2 = activation(head), activation(head)
        self.stride = stride
        self.padding = (channels - channels_in) // 2

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] -> [B, channels, H / stride, W / stride]."""
        y = self.activation1(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.padding:
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        activated: Tensor = self.activation2(x + y)
        return activated


class Body(nn.Sequential):
    """Stem, three stages, global average pooling: [B, channels, H, W] -> [B, 64]."""

    def __init__(self, channels: int, head: Head | None = None) -> None:
        layers: list[nn.Module] = [nn.Conv2d(channels, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), activation(head)]
        width = 16
        for stage, out in enumerate((16, 32, 64)):
            for block in range(5):
                layers.append(Block(width, out, 2 if stage and not block else 1, head))
                width = out
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")


def resnet32(
    channels: int,
    mean: list[float],
    deviation: list[float],
    outputs: int,
    head: Head | None,
    task: Task = "multiclass",
) -> Net:
    """ResNet-32 for images with `channels` channels, standardized with these training statistics."""
    return Net(Normalize(mean, deviation), Body(channels, head), 64, outputs, head, task=task)
