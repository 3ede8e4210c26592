from __future__ import annotations

import numpy as np

from napari_samstar.core.masks.compare import CHANGED, GAINED, LOST, SAME, compare
from napari_samstar.core.masks.store import MaskStore
from tests.core.painted import add, disc

SHAPE = (100, 120)


def test_masks_are_same_changed_lost_or_gained() -> None:
    store = MaskStore(SHAPE)
    same, grown, larger = disc(SHAPE, 20, 20, 10), disc(SHAPE, 50, 60, 12), disc(SHAPE, 50, 60, 15)
    gone, new = disc(SHAPE, 80, 20, 8), disc(SHAPE, 80, 100, 8)
    before = add(store, [same, grown, gone])
    again = add(store, [same])
    after = np.concatenate([again, add(store, [larger, new])])
    found = compare(store, before, after)
    assert found.same.tolist() == [[before[0], after[0]]]
    assert found.changed.tolist() == [[before[1], after[1]]]
    assert (found.lost.tolist(), found.gained.tolist()) == ([before[2]], [after[2]])
    assert found.sentence == "1 gained, 1 lost, 1 changed, 1 the same"
    picture = found.picture(store)
    for mask, value in ((same, SAME), (larger, CHANGED), (gone, LOST), (new, GAINED)):
        assert (picture[mask] == value).all()


def test_empty_and_equal_selections() -> None:
    store = MaskStore(SHAPE)
    ids = add(store, [disc(SHAPE, 30, 30, 9), disc(SHAPE, 30, 70, 9)])
    nothing = ids[:0]
    assert len(compare(store, nothing, ids).gained) == 2
    assert len(compare(store, ids, nothing).lost) == 2
    assert len(compare(store, ids, ids[::-1]).same) == 2
    assert not compare(store, nothing, nothing).picture(store).any()


def test_matching_is_one_to_one() -> None:
    """Two masks of one object before and one after: one of the two is lost."""
    store = MaskStore(SHAPE)
    ids = add(store, [disc(SHAPE, 50, 50, 20), disc(SHAPE, 50, 51, 20)])
    found = compare(store, ids, ids[:1])
    assert (len(found.same), len(found.lost)) == (1, 1)
