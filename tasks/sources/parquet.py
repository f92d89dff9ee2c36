"""Writing tables as Parquet so that the same values give the same bytes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from tasks.stage import replacing

ROW_GROUP = 100_000


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write `table` atomically: no index, no pandas metadata; missing numbers are NaN, missing text is null."""
    columns = {str(name): _arrow(table[name]) for name in table.columns}
    with replacing(path) as temporary:
        pa.parquet.write_table(pa.table(columns), temporary, row_group_size=ROW_GROUP, compression="zstd")


def _arrow(column: pd.Series) -> pa.Array:
    if column.dtype.kind == "f":
        return pa.array(column.to_numpy(), pa.float64(), from_pandas=False)
    if isinstance(column.dtype, pd.StringDtype):
        return pa.Array.from_pandas(column).cast(pa.string())
    if column.dtype == object:
        return pa.array(column.to_list(), pa.binary())
    return pa.Array.from_pandas(column)
