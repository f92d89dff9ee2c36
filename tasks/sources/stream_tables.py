"""CSV and Parquet piece by piece: the same raw columns as reading them whole, in memory that does not grow with the file."""

from __future__ import annotations

import codecs
import io
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import IO

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from models.errors import InputError
from tasks.sources.read_tables import clean_text, header_of, plain_table, separator_of, with_points

ROWS = 1 << 15
"""Rows of a piece of a Parquet file, at most."""
BLOCK = 1 << 20
"""Bytes of a piece of a CSV file; a row must fit. Arrow reads up to 32 of them ahead."""
HEAD = 1 << 16


def csv_pieces(path: Path, *, name: str, missing: Iterable[str], words: Collection[str] = ()) -> Iterator[pd.DataFrame]:
    """The rows of a UTF-8 CSV as text, some at a time; the first line names the columns. `words` as `read_csv` has them.

    Raises InputError as `read_csv` does, when it comes to the place.
    """
    head = _head(path)
    if not head.strip():
        raise InputError(f"{name} is empty. Give a file with a header line and rows.")
    _Checked(io.BytesIO(head), name).read()
    separator = separator_of(head)
    names = header_of(head, separator, name, None)
    places = [str(i) for i in range(len(names))]
    rows = 0
    with path.open("rb") as file:
        try:
            reader = pa.csv.open_csv(
                pa.PythonFile(_Checked(file, name), mode="r"),
                read_options=pa.csv.ReadOptions(
                    column_names=places, skip_rows_after_names=1, block_size=BLOCK, use_threads=False
                ),
                parse_options=pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
                convert_options=pa.csv.ConvertOptions(
                    column_types={place: pa.string() for place in places}, strings_can_be_null=False
                ),
            )
            for batch in reader:
                rows += batch.num_rows
                if batch.num_rows:
                    table = pa.Table.from_batches([batch])
                    clean = {n: clean_text(table.column(i), missing) for i, n in enumerate(names)}
                    yield pd.DataFrame({n: c.to_pandas() for n, c in with_points(clean, separator, words).items()})
        except pa.ArrowInvalid as error:
            reason = str(error).removeprefix("CSV parse error: ")
            raise InputError(
                f"{name}: not a well-formed CSV with {len(names)} columns ({reason}). Mend that row."
            ) from None
    if rows == 0:
        raise InputError(f"{name} has a header but no rows. Give a file with rows.")


def _head(path: Path) -> bytes:
    """The first lines, whole."""
    head = b""
    with path.open("rb") as file:
        while more := file.read(HEAD):
            head += more
            if b"\n" in more:
                return head[: head.rfind(b"\n") + 1]
    return head


def parquet_pieces(path: Path, *, name: str, missing: Iterable[str]) -> Iterator[pd.DataFrame]:
    """The rows of a Parquet file, some at a time, row group after row group; errors as `read_parquet` has them."""
    if path.stat().st_size == 0:
        raise InputError(f"{name} is empty (0 bytes). Give a Parquet file with rows.")
    try:
        file = pa.parquet.ParquetFile(path, pre_buffer=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise _broken(name, error) from None
    with file:
        names = file.schema_arrow.names
        repeated = sorted({n for n in names if names.count(n) > 1})
        if repeated:
            raise InputError(
                f"{name}: the column '{repeated[0]}' occurs more than once. Give every column a name of its own."
            )
        if file.metadata.num_rows == 0:
            raise InputError(f"{name} has columns but no rows. Give a file with rows.")
        batches = file.iter_batches(batch_size=ROWS, use_threads=False)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowInvalid, OSError) as error:
                raise _broken(name, error) from None
            if batch is None:
                return
            yield plain_table(pa.Table.from_batches([batch]), name, missing)[0]


def _broken(name: str, error: Exception) -> InputError:
    reason = str(error).splitlines()[0]
    return InputError(f"{name} is not a whole Parquet file ({reason}). It may be truncated: copy or download it again.")


class _Checked(io.RawIOBase):
    """A file whose bytes are UTF-8 without zero bytes, or an InputError that says where they are not."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        super().__init__()
        self._file = file
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._passed = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, into: bytearray | memoryview) -> int:  # type: ignore[override]
        """The next bytes, checked."""
        data = self._file.read(len(into))
        try:
            self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            bad = error.object[error.start]
            place = self._passed + error.start - (len(error.object) - len(data))
            raise InputError(
                f"{self._name} is not UTF-8: byte {place} is 0x{bad:02x}. Convert it, say with "
                "iconv -f LATIN1 -t UTF-8 OLD.csv > NEW.csv, and name the new file."
            ) from None
        if b"\0" in data:
            raise InputError(
                f"{self._name} is not a text file: it holds a zero byte at {self._passed + data.index(0)}. "
                "Give a CSV or a Parquet file."
            )
        self._passed += len(data)
        into[: len(data)] = data
        return len(data)
