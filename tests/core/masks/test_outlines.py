from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi
from skimage.draw import polygon2mask

from napari_samstar.core.masks.outlines import area, outlines, rim
from tests.core.painted import disc, rectangle

SHAPE = (40, 50)


def refill(rings: list[np.ndarray]) -> np.ndarray:
    """Fill outer rings and remove holes, by the centres of pixels."""
    out = np.zeros(SHAPE, dtype=int)
    for ring in rings:
        inside = polygon2mask(SHAPE, ring[:, ::-1] - 0.5)
        out += np.where(inside, 1 if area(ring) > 0 else -1, 0)
    return out > 0


def shapes() -> dict[str, np.ndarray]:
    speckled = np.random.default_rng(0).random(SHAPE) < 0.5
    corner = rectangle(SHAPE, 5, 5, 10, 10) | rectangle(SHAPE, 10, 10, 15, 15)
    ring = disc(SHAPE, 20, 25, 15) & ~disc(SHAPE, 20, 25, 7)
    return {
        "pixel": rectangle(SHAPE, 3, 4, 4, 5),
        "whole": np.ones(SHAPE, dtype=bool),
        "disc": disc(SHAPE, 20, 25, 12),
        "ring": ring,
        "island in a ring": ring | disc(SHAPE, 20, 25, 3),
        "touching at a corner": corner,
        "hole at a corner": ~corner,
        "speckled": speckled,
        "empty": np.zeros(SHAPE, dtype=bool),
    }


@pytest.mark.parametrize("name", shapes())
def test_filled_outlines_equal_the_mask(name: str) -> None:
    mask = shapes()[name]
    rings = outlines(mask)
    assert sum(area(ring) for ring in rings) == mask.sum()
    np.testing.assert_array_equal(refill(rings), mask)


def test_number_of_corners_and_of_rings() -> None:
    (ring,) = outlines(rectangle(SHAPE, 2, 3, 7, 9))
    assert {tuple(c) for c in ring.tolist()} == {(3, 2), (9, 2), (9, 7), (3, 7)}
    assert len(outlines(shapes()["touching at a corner"])) == 2
    assert len(outlines(shapes()["ring"])) == 2


def test_a_rim_is_the_mask_without_its_erosion():
    mask = np.random.default_rng(0).random((40, 50)) > 0.2
    mask[5:25, 10:45] = mask[30:, 20:] = True
    for width in (1, 2, 3):
        inner = mask.copy()
        for axis in (0, 1):
            line = np.ones((2 * width + 1, 1) if axis == 0 else (1, 2 * width + 1), bool)
            inner &= ndi.binary_erosion(mask, line)
        np.testing.assert_array_equal(rim(mask, width), mask & ~inner)
    assert rim(np.ones((9, 9), bool), 2).sum() == 81 - 25
