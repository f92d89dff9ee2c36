"""Which rows are kept in mind: classes as frequent as in what was learned, drawn at random by a seed."""

import numpy as np

from models.balancing.memory import class_proportional, quotas


def test_quotas_by_hand():
    """7 rows for classes of 70, 20 and 10: 4.9, 1.4 and 0.7 of a row."""
    assert quotas(np.array([70, 20, 10]), 7).tolist() == [5, 1, 1]
    assert quotas(np.array([5, 0, 5]), 1).tolist() == [1, 0, 0]
    assert quotas(np.array([0, 0]), 9).tolist() == [0, 0]


def test_a_memory_has_the_shares_of_what_was_learned_and_no_more_than_there_is():
    classes = np.repeat([0, 1, 2], [600, 250, 150])
    drawn = class_proportional(classes, np.array([600, 250, 150]), 100, np.random.default_rng(0))
    assert np.bincount(classes[drawn]).tolist() == [60, 25, 15]
    assert len(set(drawn)) == 100
    assert (np.diff(drawn) > 0).all()
    # Half of what was learned of the last class is still in the data: the memory keeps to the shares of all of it.
    few = class_proportional(classes[:-75], np.array([600, 250, 150]), 2000, np.random.default_rng(0))
    assert len(few) == 925
    again, other = (class_proportional(classes, np.array([6, 3, 1]), 100, np.random.default_rng(s)) for s in (3, 4))
    assert np.array_equal(again, class_proportional(classes, np.array([6, 3, 1]), 100, np.random.default_rng(3)))
    assert not np.array_equal(again, other)
