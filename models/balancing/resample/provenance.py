"""Where each row of a resampled table comes from: columns that every resampler adds."""

import numpy as np
import pandas as pd

NO_NEIGHBOUR = -1


def with_provenance(rows: pd.DataFrame, synthetic: bool = False, neighbours: np.ndarray | None = None) -> pd.DataFrame:
    """The rows with `weight` (1 unless they have one), `neighbour_row_id` (-1 for none) and `synthetic`.

    `row_id` stays what it is: the source row, of a synthetic row its parent. A row that is repeated keeps its own
    id, weight and groups, and is not synthetic: every value in it was observed.
    """
    known = rows.reset_index(drop=True)
    return known.assign(
        weight=known["weight"].to_numpy(np.float64) if "weight" in known else np.ones(len(known)),
        neighbour_row_id=np.full(len(known), NO_NEIGHBOUR, np.int64)
        if neighbours is None
        else neighbours.astype(np.int64),
        synthetic=np.full(len(known), synthetic),
    )
