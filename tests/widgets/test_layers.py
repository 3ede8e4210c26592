"""Planes of layers, and labels at the position of a plane."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.widgets.viewer.history import History
from napari_samstar.widgets.viewer.layer_writer import (
    COMPARISON_NAME,
    OUTLINE_NAME,
    PREVIEW_NAME,
    RECIPE_KEY,
    LayerWriter,
)
from napari_samstar.widgets.viewer.layers import (
    Placement,
    image_layers,
    loaded_image,
    pixel_size,
    shown_plane,
)


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
def test_labels_have_the_position_of_the_plane(viewer: Any, transform: dict[str, Any]) -> None:
    image = Image(np.random.default_rng(0).random((5, 20, 30)), name="i", **transform)
    viewer.add_layer(image)
    writer = LayerWriter(viewer, History())
    writer.placement = Placement.of(image, (3,))
    layer = writer.apply(np.ones((20, 30), dtype=np.int32), {})
    assert layer is not None
    for row, col in ((0, 0), (19, 29), (4, 17)):
        world = image.data_to_world((3, row, col))
        np.testing.assert_allclose(layer.data_to_world((0, row, col)), world)
        assert writer.placement.world_to_pixel(viewer, world) == (row, col)
        assert writer.placement.world_to_pixel(viewer, image.data_to_world((2, row, col))) is None
        whole = Labels(np.zeros((5, 20, 30), np.int32), **writer.placement.stack_transform)
        np.testing.assert_allclose(whole.data_to_world((3, row, col)), world)


def test_shown_plane_follows_the_sliders_and_scale(viewer: Any) -> None:
    layer = viewer.add_image(np.zeros((4, 6, 10, 10)), scale=(1, 5, 1, 1), translate=(0, 100, 0, 0))
    viewer.dims.set_current_step(0, 2)
    viewer.dims.set_current_step(1, 5)
    assert shown_plane(layer, viewer) == (2, 5)


def test_a_flat_image_beside_a_stack_has_no_plane(viewer: Any) -> None:
    viewer.add_image(np.zeros((4, 10, 10)))
    flat = viewer.add_image(np.zeros((10, 10)))
    assert shown_plane(flat, viewer) == ()


def test_the_image_of_a_layer_has_its_units_and_the_mapping(viewer: Any) -> None:
    layer = viewer.add_image(
        np.arange(100.0).reshape(10, 10), contrast_limits=(0, 99),
        scale=(2, 2), units=("um", "um"),
    )  # fmt: skip
    plane = loaded_image(layer, (), ImageMapping(stretch="limits", limits=(20, 60)))
    assert plane.mapping.limits == (20, 60)
    assert pixel_size(layer) == ((2.0, 2.0), "µm")
    image = plane.prepare()
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
    image = loaded_image(layer, (), ImageMapping()).prepare()
    assert image.shape == (32, 48)
    assert np.ptp(image.rgb) == 255


def test_the_preview_is_one_layer_and_leaves_the_selection(viewer: Any) -> None:
    image = viewer.add_image(np.zeros((8, 8)))
    writer = LayerWriter(viewer, History())
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
    writer = LayerWriter(viewer, History())
    for image in (first, second):
        writer.placement = Placement.of(image, ())
        writer.preview(np.ones((8, 8), dtype=np.int32))
    np.testing.assert_allclose(viewer.layers[PREVIEW_NAME].scale, (2, 2))


@pytest.fixture
def writer(viewer: Any) -> LayerWriter:
    image = viewer.add_image(np.zeros((8, 8)), name="i")
    made = LayerWriter(viewer, History())
    made.placement = Placement.of(image, ())
    made.preview(np.ones((8, 8), dtype=np.int32))
    return made


def test_apply_is_undone_and_redone_with_painted_pixels(viewer: Any, writer: LayerWriter) -> None:
    layer = writer.apply(np.eye(8, dtype=np.int32), {"a": 1})
    assert layer is not None
    assert not viewer.layers[PREVIEW_NAME].visible
    layer.data[0, 7] = 5
    writer._history.undo()
    assert layer not in viewer.layers
    assert viewer.layers[PREVIEW_NAME].visible
    assert writer.applied is None
    writer._history.redo()
    assert viewer.layers["i objects"].data[0, 7] == 5
    assert writer.applied is layer


def test_replacing_objects_keeps_the_layer_and_can_be_undone(writer: LayerWriter) -> None:
    mine = np.arange(64, dtype=np.int32).reshape(8, 8)
    layer = writer.apply(mine, {"first": True})
    assert layer is not None
    assert writer.replaceable() == [layer]
    assert writer.apply(np.eye(8, dtype=np.int32), {"second": True}, into=layer) is layer
    assert (layer.data == np.eye(8)).all()
    assert layer.metadata[RECIPE_KEY] == {"second": True}
    writer._history.undo()
    assert (layer.data == mine).all()
    assert layer.metadata[RECIPE_KEY] == {"first": True}
    writer._history.redo()
    assert (layer.data == np.eye(8)).all()


def test_a_pinned_object_is_painted_into_the_applied_layer(writer: LayerWriter) -> None:
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:4, 2:5] = True
    assert writer.paint_pinned(mask, (0, 0), {}) is None
    layer = writer.apply(np.eye(8, dtype=np.int32), {"config": 1})
    assert layer is not None
    step = writer.paint_pinned(mask, (0, 0), {"box": []})
    assert step is not None
    step.redo()
    assert (layer.data[mask] == 2).all()
    assert layer.metadata[RECIPE_KEY] == {"config": 1, "pinned": [{"box": []}]}
    step.undo()
    assert (layer.data == np.eye(8)).all()
    assert layer.metadata[RECIPE_KEY] == {"config": 1}


def test_outline_and_comparison_are_temporary(viewer: Any, writer: LayerWriter) -> None:
    writer.outline(np.eye(8, dtype=bool))
    writer.compare(np.eye(8, dtype=np.uint8) * 4)
    assert {OUTLINE_NAME, COMPARISON_NAME} <= {x.name for x in viewer.layers}
    assert not viewer.layers[PREVIEW_NAME].visible
    writer.preview(np.ones((8, 8), dtype=np.int32))
    assert [x.name for x in viewer.layers if x.visible] == ["i", PREVIEW_NAME]
    writer.outline(np.eye(8, dtype=bool))
    assert writer.visible_layer(OUTLINE_NAME) is viewer.layers[OUTLINE_NAME]
    assert len(viewer.layers) == 4, "the layers that were there are shown again"
    writer.remove_temporary_layers()
    assert [x.name for x in viewer.layers] == ["i"]


def test_hidden_layers_are_removed_when_no_panel_uses_them(
    viewer: Any, writer: LayerWriter
) -> None:
    writer.preview(np.ones((8, 8), dtype=np.int32))
    writer.compare(np.eye(8, dtype=np.uint8) * 4)
    writer.outline(np.eye(8, dtype=bool))
    writer.remove_hidden_layer()
    assert len(viewer.layers) == 4, "both are on show"
    calls: list[bool] = []
    writer.layer_hidden.connect(lambda: calls.append(True))
    panel = History()  # anything that can be referred to weakly
    writer.set_outline_user(panel, True)
    writer.preview(np.ones((8, 8), dtype=np.int32))
    assert calls, "`layer_hidden` is emitted"
    for _ in range(2):
        writer.remove_hidden_layer()
    assert [x.name for x in viewer.layers] == ["i", PREVIEW_NAME, OUTLINE_NAME]
    writer.set_outline_user(panel, False)
    writer.remove_hidden_layer()
    assert [x.name for x in viewer.layers] == ["i", PREVIEW_NAME]
    writer.compare(np.eye(8, dtype=np.uint8))
    writer.remove_temporary_layers()
    assert [x.name for x in viewer.layers] == ["i"]
