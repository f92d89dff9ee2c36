"""What all tests share: where the real data are."""

import os
import signal
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    """Ctrl-C means what it means on a terminal: a shell's background job ignores it, and its children would too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The working copy that the tests belong to."""
    return REPOSITORY


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Folder of the real data sets, one folder each; a test that needs it is skipped, and says so, where there is none."""
    named = os.environ.get("EQUIPOISE_MIRROR")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(
            f"no real data at {folder}; set EQUIPOISE_MIRROR to a folder that has them (layout: data/catalog.yaml)"
        )
    return folder
