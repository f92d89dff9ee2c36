"""The places that a registry can live in; every test of the conformance suite runs on each of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.registry import Published, Registry, open_registry


@dataclass(frozen=True)
class FilePlace:
    """A file:// registry, and the raw access to its objects with which a test damages them."""

    root: Path

    @property
    def url(self) -> str:
        return f"file://{self.root}"

    def registry(self) -> Registry:
        return open_registry(self.url)

    def all_keys(self) -> list[str]:
        """Every object there is, hidden ones too."""
        return sorted(p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file())

    def read(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def overwrite(self, key: str, content: bytes) -> None:
        """Change an object behind the registry's back."""
        path = self.root / key
        path.unlink(missing_ok=True)
        path.write_bytes(content)

    def remove(self, key: str) -> None:
        (self.root / key).unlink()


PLACES: Mapping[str, Callable[[Path], FilePlace]] = {"file": lambda folder: FilePlace(folder / "registry")}


@pytest.fixture(params=sorted(PLACES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> FilePlace:
    """An empty place of each kind."""
    return PLACES[request.param](tmp_path)


Publish = Callable[..., Published]


@pytest.fixture
def publish() -> Publish:
    """Publish a small version; `content` tells versions and their runs apart."""

    def made(registry: Registry, name: str = "adult", content: str = "a", run: str | None = None) -> Published:
        files: dict[str, Path | bytes] = {
            "predictor/weights.safetensors": content.encode() * 1000,
            "params.json": f'{{"seed": "{content}"}}'.encode(),
            "report.html": b"<p>report</p>",
        }
        return registry.publish(name, files, run=run or f"run-{content}", summary={"balanced_accuracy": 0.8})

    return made
