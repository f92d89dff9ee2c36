"""The tables of the README and of docs/: what stands between `<!-- benchmark: NAME -->` and `<!-- /benchmark -->`.

python -m benchmarks.readme           write them, from the results
python -m benchmarks.readme --check   only say whether they are up to date

docs/ranking.md is there as soon as the first result that it shows is.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.table import RESULTS, as_text, read
from models.errors import EquipoiseError, InputError, nearest
from tasks.stage import replacing

README = Path(__file__).parents[1] / "README.md"
PAGES = Path(__file__).parent / "pages"
"""Pages of docs/ as they are without tables; a marker whose benchmark has not been run yet shows the command for it."""

_OPEN = re.compile(r"<!-- benchmark: *(\S*) *-->")
_CLOSE = "<!-- /benchmark -->"


def with_tables(text: str, folder: Path, where: str = "README.md") -> str:
    """`text` with every marked place filled from results/<name>.json; a marker without an end or a result is an InputError."""
    parts: list[str] = []
    at = 0
    while (opened := _OPEN.search(text, at)) is not None:
        line = text.count("\n", 0, opened.start()) + 1
        closed = text.find(_CLOSE, opened.end())
        following = _OPEN.search(text, opened.end())
        if closed < 0 or (following is not None and following.start() < closed):
            raise InputError(f"{where}, line {line}: '{opened[0]}' has no '{_CLOSE}' after it. Add it.")
        path = folder / f"{opened[1]}.json"
        known = sorted(p.stem for p in folder.glob("*.json"))
        if opened[1] not in known:
            raise InputError(
                f"{where}, line {line}: there is no result '{opened[1]}' in {folder.name}/. {nearest(opened[1], known)}"
            )
        parts += [text[at : opened.end()], "\n", as_text(read(path)), "\n", _CLOSE]
        at = closed + len(_CLOSE)
    if _CLOSE in text[at:]:
        line = text.count("\n", 0, text.index(_CLOSE, at)) + 1
        raise InputError(
            f"{where}, line {line}: '{_CLOSE}' closes nothing. Remove it, or add '<!-- benchmark: NAME -->' before it."
        )
    return "".join([*parts, text[at:]])


def page(template: str, folder: Path, where: str) -> str | None:
    """A page of docs/ with its tables; None while it would have none."""
    wanted = _OPEN.findall(template)
    known = {path.stem for path in folder.glob("*.json")}
    if not known.intersection(wanted):
        return None
    for name in wanted:
        if name not in known:
            owed = f"*Not measured yet: `make bench-{name.partition('_')[0]}`.*"
            marker = re.compile(rf"<!-- benchmark: *{re.escape(name)} *-->\s*{re.escape(_CLOSE)}")
            template = marker.sub(owed, template)
    return with_tables(template, folder, where)


def main(
    arguments: Sequence[str] | None = None, readme: Path = README, results: Path = RESULTS, pages: Path | None = PAGES
) -> int:
    """Write or check; 0 when the README and the pages are up to date in the end."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.readme", description="Put the benchmarks' results into the README."
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a table is out of date")
    check = parser.parse_args(arguments).check
    stale = []
    try:
        for path, before, after in _documents(readme, results, pages):
            if after != before:
                stale.append(path.name)
                if not check:
                    with replacing(path) as temporary:
                        temporary.write_text(after, encoding="utf-8")
    except EquipoiseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if not stale:
        print(f"{readme.name} and the pages are up to date.")
        return 0
    said = "tables are out of date. Run `python -m benchmarks.readme`." if check else "tables written."
    print(f"{', '.join(stale)}: {said}")
    return int(check)


def _documents(readme: Path, results: Path, pages: Path | None) -> Iterator[tuple[Path, str, str]]:
    """Each file with what it says and what it should say."""
    text = readme.read_text(encoding="utf-8")
    yield readme, text, with_tables(text, results, readme.name)
    for template in sorted(pages.glob("*.md")) if pages is not None else ():
        made = page(template.read_text(encoding="utf-8"), results, template.name)
        if made is not None:
            path = readme.parent / "docs" / template.name
            yield path, path.read_text(encoding="utf-8") if path.exists() else "", made


if __name__ == "__main__":
    raise SystemExit(main())
