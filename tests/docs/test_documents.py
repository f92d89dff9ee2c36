"""README and docs: every link leads somewhere, and every command, option and target of make that they name is there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from flows.command import app

DOCUMENTS = ("README.md", *(f"docs/{path.name}" for path in sorted((Path(__file__).parents[2] / "docs").glob("*.md"))))
IN_PROSE, BLOCK, LINK = (
    re.compile(r"`(equipoise [^`]+)`"),
    re.compile(r"```.*?```", re.DOTALL),
    re.compile(r"\]\(([^)\s]+)\)"),
)


def commands(text: str) -> Iterator[str]:
    """Every call of `equipoise`, in prose and in blocks."""
    yield from (" ".join(found.split()) for found in IN_PROSE.findall(BLOCK.sub("", text)))
    for block in BLOCK.findall(text):
        yield from (line for line in block.splitlines() if line.startswith("equipoise "))


def anchors(text: str) -> set[str]:
    """What the headings of a page are called in links, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(repository: Path, name: str) -> None:
    page = repository / name
    for link in LINK.findall(BLOCK.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{name}: {link}"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{name}: {link}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_and_option_is_there(repository: Path, name: str) -> None:
    for call in commands((repository / name).read_text(encoding="utf-8")):
        command: Any = typer.main.get_command(app)
        words = shlex.split(call, comments=True)[1:]
        while words and getattr(command, "commands", None):
            if words[0].startswith("-"):
                break
            asked = words.pop(0).split("|")
            assert set(asked) <= set(command.commands), f"{name}: {call}"
            command = command.commands[asked[0]]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert given <= known | {"-h", "--help"}, f"{name}: {call}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_target_of_make_is_there(repository: Path, name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (repository / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = (repository / name).read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make ([a-z_-]+)", text, re.MULTILINE):
        benchmark = repository / "benchmarks" / f"{target.removeprefix('bench-').replace('-', '_')}.py"
        assert target in targets or (target.startswith("bench-") and (benchmark.exists() or target == "bench-")), target
