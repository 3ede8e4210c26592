"""A lazy multiscale stack is segmented, applied and autosaved like any other image."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest

from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.results.autosave import image_id
from napari_samstar.widgets.viewer.layers import loaded_image

STACK = np.random.default_rng(0).integers(0, 255, (6, 128, 160), dtype=np.uint8)


@pytest.mark.parametrize("leading", [(), (6,), (2, 3)])
def test_multiscale_images_of_any_number_of_axes_have_an_identity(
    make_napari_viewer: Any, leading: tuple[int, ...]
) -> None:
    full = STACK[0] if not leading else STACK.reshape(*leading, 128, 160)
    levels = [da.from_array(full), da.from_array(full[..., ::2, ::2])]
    layer = make_napari_viewer().add_image(levels, multiscale=True)
    found = image_id(layer.data)
    assert found == image_id([full, full[..., ::2, ::2]])
    other = full.copy()
    other[..., 60:70, 80:90] += 1
    assert found != image_id([other, other[..., ::2, ::2]])
    plane = (0,) * len(leading)
    image = loaded_image(layer, plane, ImageMapping(stretch="none")).prepare()
    np.testing.assert_array_equal(image.pixels[..., 0], full[plane])
