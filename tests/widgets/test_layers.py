"""Planes out of layers, and labels back to where the plane lies."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_samstar.core.images import Mapping
from napari_samstar.widgets._layers import (
    LayerWriter,
    Placement,
    image_layers,
    pixel_size,
    shown_plane,
    source_of,
)
from napari_samstar.widgets._shared import PREVIEW_NAME


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.mark.parametrize(
    "transform",
    [
        {},
        {"scale": (3, 0.5, 0.25)},
        {"scale": (3, 0.5, 0.5), "translate": (10, 20, 30)},
        {"rotate": np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=float)},
        {"scale": (2, 1, 1), "shear": (0.1, 0.2, 0.3), "translate": (5, 6, 7)},
        {"affine": np.array([[1, 0, 0, 4], [0, 0, 2, 5], [0, -2, 0, 6], [0, 0, 0, 1.0]])},
    ],
)
def test_labels_lie_where_the_plane_lies(viewer: Any, transform: dict[str, Any]) -> None:
    image = Image(np.random.default_rng(0).random((5, 20, 30)), name="i", **transform)
    viewer.add_layer(image)
    writer = LayerWriter(viewer)
    writer.placement = Placement.of(image, (3,))
    layer = writer.apply(np.ones((20, 30), dtype=np.int32), {})
    assert layer is not None
    for row, col in ((0, 0), (19, 29), (4, 17)):
        np.testing.assert_allclose(
            layer.data_to_world((0, row, col)), image.data_to_world((3, row, col))
        )


def test_shown_plane_follows_the_sliders_and_scale(viewer: Any) -> None:
    layer = viewer.add_image(np.zeros((4, 6, 10, 10)), scale=(1, 5, 1, 1), translate=(0, 100, 0, 0))
    viewer.dims.set_current_step(0, 2)
    viewer.dims.set_current_step(1, 5)
    assert shown_plane(layer, viewer) == (2, 5)


def test_a_flat_image_beside_a_stack_has_no_plane(viewer: Any) -> None:
    viewer.add_image(np.zeros((4, 10, 10)))
    flat = viewer.add_image(np.zeros((10, 10)))
    assert shown_plane(flat, viewer) == ()


def test_source_takes_contrast_limits_and_units(viewer: Any) -> None:
    layer = viewer.add_image(
        np.arange(100.0).reshape(10, 10), contrast_limits=(20, 60),
        scale=(2, 2), units=("um", "um"),
    )  # fmt: skip
    source = source_of(layer, (), Mapping(stretch="limits", limits=(0, 1)))
    assert source.mapping.limits == (20, 60)
    assert pixel_size(layer) == ((2.0, 2.0), "µm")
    image = source.read()
    assert (image.rgb[0] == 0).all()
    assert (image.rgb[-1] == 255).all()
    assert image.pixel_size == (2.0, 2.0)


@pytest.mark.parametrize("kind", ["rgb", "multiscale", "dask", "bool"])
def test_every_kind_of_layer_can_be_read(viewer: Any, kind: str) -> None:
    rng = np.random.default_rng(0)
    gray = rng.random((32, 48))
    layer = {
        "rgb": lambda: viewer.add_image(rng.integers(0, 255, (32, 48, 3), dtype=np.uint8)),
        "multiscale": lambda: viewer.add_image([gray, gray[::2, ::2]], multiscale=True),
        "dask": lambda: viewer.add_image(da.from_array(gray, chunks=16)),
        "bool": lambda: viewer.add_image(gray > 0.5),
    }[kind]()
    image = source_of(layer, (), Mapping()).read()
    assert image.shape == (32, 48)
    assert np.ptp(image.rgb) == 255


def test_the_preview_is_one_layer_and_leaves_the_selection(viewer: Any) -> None:
    image = viewer.add_image(np.zeros((8, 8)))
    writer = LayerWriter(viewer)
    writer.placement = Placement.of(image, ())
    for value in (1, 2):
        writer.preview(np.full((8, 8), value, dtype=np.int32))
    assert [layer.name for layer in viewer.layers] == [image.name, PREVIEW_NAME]
    assert viewer.layers.selection.active is image
    assert (viewer.layers[PREVIEW_NAME].data == 2).all()
    assert [layer.name for layer in image_layers(viewer)] == [image.name]


def test_the_preview_moves_with_the_image(viewer: Any) -> None:
    first = viewer.add_image(np.zeros((8, 8)))
    second = viewer.add_image(np.zeros((8, 8)), scale=(2, 2))
    writer = LayerWriter(viewer)
    for image in (first, second):
        writer.placement = Placement.of(image, ())
        writer.preview(np.ones((8, 8), dtype=np.int32))
    np.testing.assert_allclose(viewer.layers[PREVIEW_NAME].scale, (2, 2))
