"""The README's tables, from the results: what stands between `<!-- benchmark: NAME -->` and `<!-- /benchmark -->`.

python -m benchmarks.readme           write them
python -m benchmarks.readme --check   only say whether they are up to date
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.table import RESULTS, as_text, read
from models.errors import EquipoiseError, InputError, nearest
from tasks.stage import replacing

README = Path(__file__).parents[1] / "README.md"

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


def main(arguments: Sequence[str] | None = None, readme: Path = README, results: Path = RESULTS) -> int:
    """Write or check; 0 when the README is up to date in the end."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.readme", description="Put the benchmarks' results into the README."
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a table is out of date")
    check = parser.parse_args(arguments).check
    try:
        before = readme.read_text(encoding="utf-8")
        after = with_tables(before, results, readme.name)
        if after != before and not check:
            with replacing(readme) as temporary:
                temporary.write_text(after, encoding="utf-8")
    except EquipoiseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if after == before:
        print(f"{readme.name} is up to date.")
        return 0
    print(
        f"{readme.name}: tables are out of date. Run `python -m benchmarks.readme`."
        if check
        else f"{readme.name}: tables written."
    )
    return int(check)


if __name__ == "__main__":
    raise SystemExit(main())
