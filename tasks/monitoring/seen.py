"""What a look of the monitor asks for: light to import, as what acts on it need not be able to look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Action = Literal["none", "retrain", "roll back"]
EXIT_CODES: Mapping[Action, int] = {"none": 0, "retrain": 4, "roll back": 5}
"""What the command returns."""

FOLDER = Path("data") / "monitor"


@dataclass(frozen=True)
class Seen:
    """What was found: the champion, the action of the last partition that could be judged, and every partition."""

    version: str
    action: Action
    partitions: list[dict[str, Any]] = field(default_factory=list)
    folder: Path = FOLDER

    @property
    def reasons(self) -> list[str]:
        """Why something is asked for."""
        judged = [p for p in self.partitions if not p["note"]]
        return list(judged[-1]["reasons"]) if judged else []
