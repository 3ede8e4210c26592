from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from napari_samstar.core.cues.image_cues import image_cues
from napari_samstar.core.masks.store import MaskStore
from napari_samstar.core.rewards.features import CONTACT_DISTANCE, Features
from tests.core.painted import add, disc, gray_of, rectangle

SHAPE = (80, 150)
CROSS = ndi.generate_binary_structure(2, 1)


@pytest.fixture(scope="module")
def scene():
    masks = [
        disc(SHAPE, 30, 40, 14),
        disc(SHAPE, 34, 62, 12),
        rectangle(SHAPE, 0, 100, 20, 150),
        rectangle(SHAPE, 60, 0, 80, 30),
        disc(SHAPE, 30, 40, 5),
        rectangle(SHAPE, 21, 100, 40, 130),
    ]
    store = MaskStore(SHAPE)
    features = Features(store, image_cues(gray_of(masks[:4])))
    return masks, features, add(store, masks)


def contour(mask):
    return mask & ~ndi.binary_erosion(mask, CROSS, border_value=1)


def test_features_of_masks_equal_those_of_dense_arrays(scene):
    masks, features, ids = scene
    edges = features.cues.edges
    assert features.area(ids).tolist() == [m.sum() for m in masks]
    assert features.diameter(ids)[0] == pytest.approx(28, rel=0.05)
    assert features.contour_length(ids).tolist() == [contour(m).sum() for m in masks]
    expected = [(contour(m) & edges).sum() / contour(m).sum() for m in masks]
    assert features.on_edge(ids) == pytest.approx(expected)


def test_no_contour_along_the_border_of_the_image(scene):
    _, features, ids = scene
    assert features.contour_length(ids[[2]])[0] == 20 + 49


def test_features_of_pairs_equal_those_of_dense_arrays(scene):
    masks, features, ids = scene
    index, shared = features.pairs(ids)
    found = {tuple(p): tuple(s) for p, s in zip(index.tolist(), shared.tolist(), strict=True)}
    for (small, large), values in found.items():
        a, b = masks[small], masks[large]
        assert a.sum() <= b.sum()
        dilated = ndi.binary_dilation(b, CROSS, iterations=CONTACT_DISTANCE)
        contact = contour(a) & dilated
        expected = ((a & b).sum(), contact.sum(), (contact & features.cues.edges).sum())
        assert values == expected
    for i in range(len(masks)):
        for j in range(i):
            if (ndi.binary_dilation(masks[i], CROSS, iterations=CONTACT_DISTANCE) & masks[j]).any():
                assert (i, j) in found or (j, i) in found


def test_values_do_not_depend_on_the_order_of_ids(scene):
    _, features, ids = scene
    for order in (ids, ids[::-1], ids[:2]):
        assert features.on_edge(order).tolist() == [
            features.on_edge(order[[k]])[0] for k in range(len(order))
        ]
    assert np.array_equal(features.pairs(ids)[1], features.pairs(ids)[1])


def test_an_empty_selection_has_no_pairs(scene):
    _, features, ids = scene
    index, shared = features.pairs(ids[:0])
    assert index.shape == (0, 2)
    assert shared.shape == (0, 3)


def test_large_foreground_has_only_large_components(scene):
    _, features, _ = scene
    whole = features.large_foreground(0.0)
    assert np.array_equal(whole, features.foreground)
    assert not features.large_foreground(500.0).any()
