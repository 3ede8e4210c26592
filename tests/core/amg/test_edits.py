from __future__ import annotations

import json

import numpy as np
import pytest

from napari_samstar.core.amg.edits import Edits, describe, restore
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
    with pytest.raises(UserError, match="edited by hand"):
        restore(MaskStore(SHAPE), [entry])


def test_rescued_masks_lie_on_top() -> None:
    store = MaskStore(SHAPE)
    small, large = disc(SHAPE, 20, 30, 5), disc(SHAPE, 20, 30, 15)
    ids = add(store, [small, large])
    labels = paint(store, ids[:1], on_top=[int(ids[1])])
    assert (labels[large] == 1).all()  # hides the small one, so no gap is left
    assert labels.max() == 1


def test_a_deleted_object_stays_away_whatever_candidate_the_settings_choose() -> None:
    store = MaskStore(SHAPE)
    one, nearly_one, other = (
        disc(SHAPE, 20, 30, 10),
        disc(SHAPE, 20, 31, 11),
        disc(SHAPE, 20, 70, 9),
    )
    inside = disc(SHAPE, 20, 30, 3)
    ids = add(store, [one, nearly_one, other, inside])
    edits = Edits().replaced([int(ids[0])], [])
    assert edits.left(store, ids).tolist() == ids[2:].tolist()
    assert not Edits()
    assert edits


def test_a_replaced_object_is_known_by_its_new_mask_only() -> None:
    edits = Edits().replaced([4], [10, 11])
    assert edits == Edits((10, 11), (4,))
    # An object of the user's own is simply gone; it was none of the candidates
    assert edits.replaced([10], [12]) == Edits((11, 12), (4,))
    assert edits.replaced([11, 5], []) == Edits((10,), (4, 5))
