"""What a stage is, and the one way in which it is run: by DVC as `python -m tasks.<stage>`, by the flow in-process."""

import contextlib
import json
import logging
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import EquipoiseError, InputError
from tasks.identity import redacted
from tasks.interrupts import insist_on_interrupts
from tasks.params import Params, load_params

log = logging.getLogger("equipoise")

Paths = Mapping[str, Path]


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline.

    `sections` are the top-level sections of params.yaml that the stage may read; it sees no others, so that what
    DVC tracks is all that it depends on. Paths are relative to the working copy.
    """

    name: str
    run: Callable[[Params, Paths, Paths], None]
    sections: tuple[str, ...]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    def execute(self, params: Params, root: Path = Path()) -> None:
        """Run the stage with the sections it declares; a missing input is an error that names the stage that makes it."""
        inputs = {name: root / path for name, path in self.inputs.items()}
        outputs = {name: root / path for name, path in self.outputs.items()}
        for name, path in inputs.items():
            if not path.exists():
                maker = path.relative_to(root).parts[1] if len(path.relative_to(root).parts) > 1 else "an earlier stage"
                raise InputError(f"{self.name}: its input '{name}' is missing ({path}). Run the stage '{maker}' first.")
        for path in outputs.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        self.run(params.only(self.sections), inputs, outputs)

    def main(self) -> None:
        """Entry point of `python -m tasks.<stage>`."""
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
        insist_on_interrupts()
        try:
            self.execute(load_params(Path("params.yaml")))
        except EquipoiseError as error:
            print(f"{self.name}: {redacted(str(error))}", file=sys.stderr)
            raise SystemExit(error.exit_code) from None
        except KeyboardInterrupt:
            print(f"{self.name}: stopped; the same command goes on from here", file=sys.stderr)
            raise SystemExit(130) from None


@contextlib.contextmanager
def replacing(path: Path, folder: Path | None = None) -> Iterator[Path]:
    """A temporary sibling of `path` (file or directory) that takes its place when the block ends without an error.

    It lies in `folder` instead, which exists and is of the same file system, where all that lies beside `path` is read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = (folder or path.parent) / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically, keys in the order given, no NaN: the same value gives the same bytes."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read JSON; a broken file is named."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}). Delete it and run again.") from None
