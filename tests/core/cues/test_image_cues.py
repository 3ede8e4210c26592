from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from napari_samstar.core.cues.image_cues import image_cues
from tests.core.painted import disc, gray_of, rectangle

SHAPE = (256, 256)
DISCS = [disc(SHAPE, r, c, 8) for r in range(24, 240, 32) for c in range(24, 240, 32)]
UNION = np.any(DISCS, axis=0)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("bright", [True, False])
def test_foreground_and_polarity_of_discs(bright):
    cues = image_cues(gray_of(DISCS) if bright else 255 - gray_of(DISCS))
    assert cues.polarity == ("bright" if bright else "dark")
    assert dice(cues.foreground, UNION) > 0.95
    assert len(cues.component_areas) == len(DISCS)
    assert cues.component_areas.sum() == cues.foreground.sum()


def test_uneven_illumination_is_not_foreground():
    shade = np.linspace(0, 70, 256)[None, :, None]
    image = np.clip(gray_of(DISCS, level=150) + shade, 0, 255).astype(np.uint8)
    assert dice(image_cues(image).foreground, UNION) > 0.9


@pytest.mark.parametrize("radius", [20, 40, 60])
def test_a_large_object_is_not_taken_for_illumination(radius):
    big = disc((160, 160), 80, 80, radius)
    assert dice(image_cues(gray_of([big]), "bright").foreground, big) > 0.9


@pytest.mark.parametrize("blur", [0.0, 1.2])
@pytest.mark.parametrize("radius", [4, 8, 11])
def test_one_blob_per_disc(radius, blur):
    discs = [disc(SHAPE, r, c, radius) for r in range(24, 240, 32) for c in range(24, 240, 32)]
    image = ndi.gaussian_filter(gray_of(discs), (blur, blur, 0))
    blobs = image_cues(image).blobs
    assert len(blobs) == pytest.approx(len(discs), rel=0.05)
    assert np.median(blobs[:, 2]) == pytest.approx(2 * radius, rel=0.35)


def test_the_border_of_a_large_object_gives_no_blobs():
    pair = [disc(SHAPE, 90, 128, 60), disc(SHAPE, 200, 60, 30)]
    assert len(image_cues(gray_of(pair)).blobs) <= 4


def test_edges_are_on_outlines_and_not_in_noise():
    cues = image_cues(gray_of(DISCS))
    rim = UNION & ~ndi.binary_erosion(UNION)
    assert cues.edges[rim].mean() > 0.98
    far = ndi.distance_transform_edt(~rim) > 8
    assert cues.edges[far].mean() < 0.02
    noise = np.random.default_rng(0).normal(128, 10, SHAPE).clip(0, 255).astype(np.uint8)
    assert image_cues(np.repeat(noise[..., None], 3, axis=2)).edges.mean() < 0.05


def test_the_seam_between_touching_objects_is_an_edge():
    pair = [rectangle(SHAPE, 90, c, 150, c + 60) for c in (60, 120)]
    image = gray_of(pair)
    image[90:150, 119:121] = 90
    assert image_cues(image).edges[95:145, 118:122].mean() > 0.9


@pytest.mark.parametrize("shape", [(8, 8), (9, 200), (31, 17)])
def test_small_and_empty_images_have_cues(shape):
    rng = np.random.default_rng(0)
    for image in (np.zeros((*shape, 3), np.uint8), rng.integers(0, 255, (*shape, 3), np.uint8)):
        cues = image_cues(image)
        assert cues.foreground.shape == cues.edges.shape == cues.components.shape == shape
        assert np.isfinite(cues.blobs).all()
    assert not image_cues(np.zeros((*shape, 3), np.uint8), "bright").foreground.any()
