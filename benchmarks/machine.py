"""The machine that a figure was measured on, in one line: no figure means anything without it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from tasks.identity import processor

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True)
class Machine:
    """What a process here may use, not what the host has; `gpus` are names of accelerators."""

    cpu: str
    cores: int
    memory_gib: float
    python: str
    torch: str
    gpus: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """For the caption of a table."""
        accelerators = f", {' + '.join(self.gpus)}" if self.gpus else ""
        return (
            f"{self.cpu}, {self.cores} {'core' if self.cores == 1 else 'cores'}, {self.memory_gib:g} GiB{accelerators}, "
            f"Python {self.python}, torch {self.torch}"
        )


def this_machine() -> Machine:
    """The machine and the process that ask."""
    import torch

    return Machine(
        cpu=" ".join(processor().split()),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(_memory() / 2**30, 1),
        python=platform.python_version(),
        torch=torch.__version__,
        gpus=tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())),
    )


def _memory() -> int:
    """Bytes that this process may use: the machine's, or the container's where that is less."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    texts = [path.read_text().strip() for path in CGROUP_LIMITS if path.is_file()]
    return min([whole, *(int(text) for text in texts if text.isdigit())])
