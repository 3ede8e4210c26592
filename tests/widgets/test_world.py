"""Positions and sizes are right for layers with other units, transforms and axes."""

from __future__ import annotations

import html
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.widgets.panels.segment.panel import SegmentPanel
from napari_samstar.widgets.viewer import source_file
from napari_samstar.widgets.viewer.layers import (
    Placement,
    labels_plane,
    loaded_image,
    pixel_size,
    shown_plane,
)
from napari_samstar.widgets.viewer.source_file import _read, layer_axes

if TYPE_CHECKING:
    import napari


@pytest.fixture
def viewer(make_napari_viewer: Any) -> napari.Viewer:
    made: napari.Viewer = make_napari_viewer()
    return made


STACK = np.random.default_rng(0).integers(0, 255, (12, 128, 128), dtype=np.uint8)


@pytest.fixture
def two_units(viewer: napari.Viewer) -> tuple[Image, Image]:
    """Return the same stack twice, once in nm and once in µm."""
    nm = viewer.add_image(STACK, name="nm", scale=(210, 70, 70), units="nm")
    um = viewer.add_image(STACK, name="um", scale=(0.21, 0.07, 0.07), units="um")
    return nm, um


def test_the_plane_on_show_is_right_for_both_units(
    viewer: napari.Viewer, two_units: tuple[Image, Image]
) -> None:
    viewer.dims.set_current_step(0, 2)
    assert [shown_plane(layer, viewer) for layer in two_units] == [(2,), (2,)]
    for layer in two_units:
        shown = np.asarray(layer._slice.image.raw)
        np.testing.assert_array_equal(shown, STACK[2])


def test_a_click_is_at_the_same_pixel_in_both_units(
    viewer: napari.Viewer, two_units: tuple[Image, Image]
) -> None:
    position = np.array([2 * 210.0, 32 * 70.0, 96 * 70.0])  # the viewer's units are nm
    for layer in two_units:
        assert Placement.of(layer, (2,)).world_to_pixel(viewer, position) == (32, 96)
        assert Placement.of(layer, (5,)).world_to_pixel(viewer, position) is None


def test_labels_in_other_units_are_on_the_same_plane(
    viewer: napari.Viewer, two_units: tuple[Image, Image]
) -> None:
    nm, um = two_units
    labels = viewer.add_labels(np.zeros((1, 128, 128), dtype=np.int32),
                               **Placement.of(um, (7,)).transform)  # fmt: skip
    assert labels_plane(labels, nm) == labels_plane(labels, um) == (7,)


TURN = np.array([[0.0, -1.0], [1.0, 0.0]])


@pytest.mark.parametrize(
    ("transform", "units", "expected"),
    [
        ({"affine": np.diag([0.1, 0.1, 1.0])}, "um", ((0.1, 0.1), "µm")),
        ({"scale": (2, 3), "affine": np.diag([0.1, 0.2, 1.0])}, "nm", ((0.2, 0.6), "nm")),
        ({"scale": (-0.5, 0.5)}, "um", ((0.5, 0.5), "µm")),
        ({"scale": (0.5, 0.25), "rotate": TURN}, "um", ((0.5, 0.25), "µm")),
        ({"scale": (2, 2)}, "angstrom", ((0.2, 0.2), "nm")),
        ({"scale": (0.002, 0.001)}, "mm", ((2.0, 1.0), "µm")),
        ({"scale": (2, 2)}, "pixel", (None, "px")),
        ({"scale": (300, 0.3)}, ("nm", "um"), ((0.3, 0.3), "µm")),
    ],
)
def test_the_pixel_size_is_that_of_the_whole_transform(
    transform: dict[str, Any], units: Any, expected: Any
) -> None:
    size, unit = pixel_size(Image(STACK[0], units=units, **transform))
    assert unit == expected[1]
    assert size == (None if expected[0] is None else pytest.approx(expected[0]))


def test_planes_are_refused_where_none_is_on_show(viewer: napari.Viewer) -> None:
    layer = viewer.add_image(STACK)
    viewer.dims.set_current_step(0, 6)
    assert shown_plane(layer, viewer) == (6,)
    viewer.dims.order = (0, 2, 1)  # transposed: the same plane
    assert shown_plane(layer, viewer) == (6,)
    viewer.dims.order = (1, 2, 0)
    with pytest.raises(UserError, match="other axes than rows and columns"):
        shown_plane(layer, viewer)
    viewer.dims.order = (0, 1, 2)
    viewer.dims.ndisplay = 3
    with pytest.raises(UserError, match="switch it to 2D"):
        shown_plane(layer, viewer)
    flat = viewer.add_image(STACK[0])
    assert shown_plane(flat, viewer) == ()


def test_the_panel_says_what_is_on_show(viewer: napari.Viewer) -> None:
    panel = SegmentPanel(viewer)
    form = panel.image_form
    viewer.add_image(STACK)
    viewer.dims.set_current_step(0, 6)
    assert form.plane_note.text() == "Plane 6, as shown in the viewer."
    viewer.dims.roll()
    assert "other axes than rows and columns: press 'Change order" in html.unescape(
        form.plane_note.text()
    )
    with pytest.raises(UserError, match="Change order of the visible"):
        form.chosen_image()
    panel.run()
    assert panel.controller.session.result is None
    for _ in range(2):
        viewer.dims.roll()
    assert form.plane_note.text() == "Plane 6, as shown in the viewer."
    viewer.dims.ndisplay = 3
    assert "in 3D" in form.plane_note.text()
    viewer.dims.ndisplay = 2
    assert form.plane_note.text() == "Plane 6, as shown in the viewer."


def test_clicks_are_refused_where_no_plane_is_on_show(viewer: napari.Viewer) -> None:
    layer = viewer.add_image(STACK)
    placement, position = Placement.of(layer, (2,)), (2.0, 32.0, 96.0)
    assert placement.world_to_pixel(viewer, position) == (32, 96)
    viewer.dims.order = (0, 2, 1)
    assert placement.world_to_pixel(viewer, position) == (32, 96)
    viewer.dims.order = (1, 2, 0)
    with pytest.raises(UserError, match="other axes than rows and columns"):
        placement.world_to_pixel(viewer, position)
    viewer.dims.order = (0, 1, 2)
    viewer.dims.ndisplay = 3
    with pytest.raises(UserError, match="in 3D: switch it to 2D to click"):
        placement.world_to_pixel(viewer, position)


@pytest.mark.parametrize(
    "transform",
    [
        {"scale": (-0.07, 0.07), "translate": (5.0, -2.0)},
        {"scale": (0.07, 0.14), "rotate": 30.0},
        {"scale": (0.07, 0.14), "shear": [0.2]},
        {"affine": [[0.0, -0.07, 3.0], [0.14, 0.0, 1.0], [0.0, 0.0, 1.0]]},
        {"scale": (0.5, -2.0), "rotate": 45.0, "affine": np.diag([0.1, 0.1, 1.0])},
    ],
)
def test_clicks_go_through_the_whole_transform(
    viewer: napari.Viewer, transform: dict[str, Any]
) -> None:
    viewer.add_image(STACK[0], scale=(70, 70), units="nm")  # the viewer is in nm
    layer = viewer.add_image(STACK[0], units="um", **transform)
    position = np.asarray(layer.data_to_world((32, 96))) * 1000
    placement = Placement.of(layer, ())
    assert placement.world_to_pixel(viewer, position) == (32, 96)
    labels = viewer.add_labels(np.ones((128, 128), np.int32), **placement.transform)
    assert placement.matches(labels)
    np.testing.assert_allclose(labels.data_to_world((7, 9)), layer.data_to_world((7, 9)))
    labels.translate = labels.translate + 0.1
    assert not placement.matches(labels)


def test_labels_match_a_plane_in_other_units(two_units: tuple[Image, Image]) -> None:
    nm, um = two_units
    plane = np.zeros((1, 128, 128), np.int32)
    labels = Labels(plane, **Placement.of(um, (7,)).transform)
    assert Placement.of(um, (7,)).matches(labels)
    assert Placement.of(nm, (7,)).matches(labels)
    assert not Placement.of(nm, (6,)).matches(labels)
    same_numbers = Labels(plane, scale=nm.scale, translate=(7 * 210.0, 0, 0), units="um")
    assert not Placement.of(nm, (7,)).matches(same_numbers)
    assert not Placement.of(nm, (7,)).matches(Labels(plane[0]))


def test_the_window_does_not_wait_for_a_slow_file(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "slow.tif"
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "TYX"})
    go = threading.Event()
    monkeypatch.setattr(source_file, "_read", lambda path, _: (go.wait(10), _read(path, 0))[1])
    layer = Image(STACK)
    layer._source = layer.source.model_copy(update={"path": str(path)})
    began = time.monotonic()
    assert layer_axes(layer) == ""
    assert time.monotonic() - began < 1
    go.set()
    assert layer_axes(layer, wait=None) == "TYX"


def test_axes_are_those_of_labels_or_of_the_file(viewer: napari.Viewer, tmp_path: Any) -> None:
    labelled = Image(np.zeros((2, 3, 9, 9)), axis_labels=("channel", "z", "y", "x"))
    assert layer_axes(labelled) == "CZYX"
    assert layer_axes(Image(np.zeros((2, 3, 9, 9)))) == ""
    path = tmp_path / "s.ome.tif"
    tifffile.imwrite(path, STACK[:6].reshape(2, 3, 128, 128), metadata={
        "axes": "ZCYX", "PhysicalSizeZ": 2.0, "Channel": {"Name": ["a", "b", "c"]}})  # fmt: skip
    (layer,) = viewer.open(path, plugin="napari")
    assert isinstance(layer, Image)
    assert layer_axes(layer, wait=None) == "ZCYX"
    image = loaded_image(layer, (1, 2), ImageMapping(channel=0))
    assert image.channel_names == ("a", "b", "c")
    np.testing.assert_array_equal(image.prepare().shape, (128, 128))
    (cropped,) = viewer.open(path, plugin="napari")
    cropped.data = cropped.data[:1]
    assert layer_axes(cropped, wait=None) == ""


def test_channels_have_a_button_each(viewer: napari.Viewer) -> None:
    form = SegmentPanel(viewer).image_form
    data = STACK[:6].reshape(3, 2, 128, 128).astype(np.uint16)
    viewer.add_image(data, name="cells", axis_labels=("c", "z", "y", "x"))
    assert [b.text() for b in form.channel_row.buttons] == ["0", "1", "2"]
    viewer.dims.set_current_step((0, 1), (1, 1))
    chosen = form.chosen_image()
    assert chosen is not None
    image, _ = chosen
    assert (image.axes, image.mapping.plane, image.mapping.channel) == ("CZYX", (1, 1), None)
    form.channel_row.buttons[0].setChecked(True)
    form.channel_row.buttons[2].setChecked(True)
    image, _ = form.chosen_image()  # type: ignore[misc]
    assert image.mapping.channel == (0, 2)
    rgb = image.prepare().pixels
    assert rgb[..., 0].any()
    assert not rgb[..., 2].any()
    assert "Plane Z 1" in form.plane_note.text()
    form.show_mapping(ImageMapping(channel=1))
    assert form.channel_row.chosen() == (1,)
    viewer.add_image(STACK[0], name="flat")
    form.layer_box.setCurrentText("flat")
    assert form.channel_row.buttons == []
