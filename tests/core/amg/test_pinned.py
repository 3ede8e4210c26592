from __future__ import annotations

import json

import numpy as np
import pytest

from napari_samstar.core.amg.pinned import describe, restore
from napari_samstar.core.errors import UserError
from napari_samstar.core.masks.labels import paint
from napari_samstar.core.masks.store import MaskStore
from tests.core.painted import add, disc, rectangle

SHAPE = (50, 90)


def test_a_rescued_mask_survives_json() -> None:
    store, other = MaskStore(SHAPE), MaskStore(SHAPE)
    masks = [disc(SHAPE, 20, 70, 12), rectangle(SHAPE, 0, 0, 50, 90), disc(SHAPE, 5, 5, 9)]
    entries = json.loads(json.dumps(describe(store, add(store, masks).tolist())))
    for mask, mask_id in zip(masks, restore(other, entries), strict=True):
        np.testing.assert_array_equal(other.dense(mask_id), mask)


@pytest.mark.parametrize(
    "entry",
    [
        {"box": [0, 0, 4, 4], "counts": [3]},
        {"box": [0, 0, 400, 4], "counts": [1600]},
        {"box": [0, 0, 4], "counts": [16]},
        {"counts": [16]},
        {"box": [0, 0, 4, 4], "counts": [-4, 20]},
    ],
)
def test_a_damaged_one_is_an_error(entry: dict) -> None:
    with pytest.raises(UserError, match="rescued"):
        restore(MaskStore(SHAPE), [entry])


def test_rescued_masks_lie_on_top() -> None:
    store = MaskStore(SHAPE)
    small, large = disc(SHAPE, 20, 30, 5), disc(SHAPE, 20, 30, 15)
    ids = add(store, [small, large])
    labels = paint(store, ids[:1], on_top=[int(ids[1])])
    assert (labels[large] == 1).all()  # hides the small one, so no gap is left
    assert labels.max() == 1
