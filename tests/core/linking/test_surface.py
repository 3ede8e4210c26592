from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import measure

from napari_samstar.core.linking.surface import CASES, NOTHING, case_areas, count_cases


def blob(seed, shape=(7, 12, 15)):
    rng = np.random.default_rng(seed)
    return ndimage.gaussian_filter(rng.normal(size=shape), 1.2) > 0


def sections(solid):
    """Return the cross-sections, each in its own box, with the empty ones at both ends."""
    found = [NOTHING]
    for plane in solid:
        if not plane.any():
            found.append(NOTHING)
            continue
        rows, cols = ndimage.find_objects(plane.astype(int))[0]
        found.append((plane[rows, cols], (rows.start, cols.start, rows.stop, cols.stop)))
    return [*found, NOTHING]


def summed(solid, spacing):
    planes = sections(solid)
    counts = sum(count_cases(a, b) for a, b in pairwise(planes))
    return float(counts @ case_areas(spacing))


@given(seed=st.integers(0, 1000), z=st.floats(0.2, 5), col=st.floats(0.2, 5))
@settings(deadline=None, max_examples=40)
def test_the_sum_over_planes_is_marching_cubes_of_the_whole(seed, z, col):
    solid, spacing = blob(seed), (z, 1.0, col)
    vertices, faces, *_ = measure.marching_cubes(
        np.pad(solid, 1).astype(float), 0.5, spacing=spacing
    )
    whole = measure.mesh_surface_area(vertices, faces)
    assert summed(solid, spacing) == pytest.approx(whole, rel=1e-4)


def test_the_surface_of_a_large_box_is_that_of_its_faces():
    solid = np.ones((20, 30, 40), bool)
    faces = 2 * (20 * 30 * 2 * 3 + 20 * 40 * 2 * 1 + 30 * 40 * 3 * 1)
    assert summed(solid, (2.0, 3.0, 1.0)) == pytest.approx(faces, rel=0.06)


def test_the_surface_of_a_ball_is_nine_percent_too_large():
    z, row, col = np.mgrid[-25:26, -25:26, -25:26]
    ball = z**2 + row**2 + col**2 <= 24.5**2
    assert summed(ball, (1.0, 1.0, 1.0)) / (4 * np.pi * 24.5**2) == pytest.approx(1.09, abs=0.02)


def test_nothing_between_two_empty_planes():
    assert count_cases(NOTHING, NOTHING).tolist() == [0] * CASES
