"""Pixel sizes from the file or typed; labels on the image are scaled too."""

from __future__ import annotations

from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_samstar.core.image.units import UNKNOWN
from napari_samstar.widgets.panels.segment.panel import SegmentPanel
from napari_samstar.widgets.viewer.layer_metadata import metadata_size
from napari_samstar.widgets.viewer.layers import pixel_size


@pytest.fixture
def panel(make_napari_viewer: Any, tmp_path: Any, qtbot: Any) -> SegmentPanel:
    """A stack from an OME-TIFF, with labels on one plane of it."""
    names = {f"PhysicalSize{x}{what}": value for x, size in (("X", 0.32), ("Y", 0.16))
             for what, value in (("", size), ("Unit", "nm"))}  # fmt: skip
    stack = np.random.default_rng(0).integers(0, 999, (3, 40, 60)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "ZYX", **names}, ome=True)
    viewer = make_napari_viewer(show=True)
    made = SegmentPanel(viewer)
    viewer.window.add_dock_widget(made)
    viewer.open(tmp_path / "a.ome.tif", plugin="napari")
    viewer.add_labels(np.ones((1, 40, 60), np.int32), name="mine", translate=(2, 0, 0))
    row = made.image_form.pixel_row
    qtbot.waitUntil(lambda: "0.16 × 0.32 nm" in row.text.text())
    return made


def test_the_pixel_size_of_the_file_is_used_with_one_click_and_can_be_undone(panel: Any) -> None:
    row, viewer = panel.image_form.pixel_row, panel.viewer()
    image, mine = viewer.layers
    row.text.linkActivated.emit("use")
    for layer in (image, mine):
        assert pixel_size(layer) == ((0.16, 0.32), "nm")
    np.testing.assert_allclose(mine.translate, (2, 0, 0))
    assert row.isHidden()
    panel.controller.history.undo()
    for layer in (image, mine):
        assert pixel_size(layer) == (None, "px")
    assert not row.isHidden()


def test_a_pixel_size_can_be_typed(panel: Any) -> None:
    row = panel.image_form.pixel_row
    assert row.fields.isHidden()
    row.text.linkActivated.emit("set")
    assert not row.fields.isHidden()
    row.size_box.setValue(0.5)
    row.unit_box.setCurrentText("µm")
    row.set_button.click()
    assert pixel_size(panel.viewer().layers[0]) == ((0.5, 0.5), "µm")


def test_an_image_without_a_file_can_be_calibrated(panel: Any) -> None:
    row, viewer = panel.image_form.pixel_row, panel.viewer()
    viewer.layers.clear()
    assert row.isHidden()
    viewer.add_image(np.zeros((40, 60)))
    assert "set the pixel size" in row.text.text()


@pytest.mark.parametrize(
    "transform",
    [
        {"scale": (-1, 1), "translate": (30, 2)},
        {"affine": np.diag([0.1, 0.1, 1.0])},
        {"scale": (2, 4), "rotate": 90.0},
    ],
)
def test_flips_turns_and_affines_are_kept(panel: Any, transform: dict[str, Any]) -> None:
    row, viewer = panel.image_form.pixel_row, panel.viewer()
    viewer.layers.clear()
    layer = viewer.add_image(np.zeros((40, 60)), **transform)
    corner, right = (np.array(layer.data_to_world(at)) for at in ((0, 0), (0, 1)))
    row.size_box.setValue(0.5)
    row.unit_box.setCurrentText("µm")
    row.set()
    assert pixel_size(layer) == (pytest.approx((0.5, 0.5)), "µm")
    after = np.array(layer.data_to_world((0, 1))) - np.array(layer.data_to_world((0, 0)))
    along = (right - corner) / np.linalg.norm(right - corner)
    np.testing.assert_allclose(after, 0.5 * along, atol=1e-9)
    panel.controller.history.undo()
    np.testing.assert_allclose(layer.data_to_world((0, 1)), right)
    assert pixel_size(layer) == (None, "px")


class _Sizes:
    X, Y = 0.2, 0.4


class _BioImage:
    """As bioio's readers put it into the metadata."""

    physical_pixel_sizes = _Sizes()


class _Broken:
    """Raises at whatever it is asked for."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"PhysicalSizeX": 0.2, "PhysicalSizeY": 0.4}, ((0.4, 0.2), "µm")),
        ({"ome": {"PhysicalSizeX": 200, "PhysicalSizeXUnit": "nm"}}, ((200, 200), "nm")),
        ({"pixel_size": 3.2, "unit": "Å"}, ((0.32, 0.32), "nm")),
        ({"spacing": [1.0, 0.4, 0.2], "units": ["um", "um", "um"]}, ((0.4, 0.2), "µm")),
        ({"spacing": np.array([0.4, 0.2]), "unit": "micron"}, ((0.4, 0.2), "µm")),
        ({"bioimage": _BioImage()}, ((0.4, 0.2), "µm")),
        ({"broken": _Broken(), "pixel_size": "1,5", "unit": "nm"}, ((1.5, 1.5), "nm")),
        ({"pixel_size": 3.2}, UNKNOWN),
        ({"spacing": [], "unit": "nm", "none": None}, UNKNOWN),
        ({"OME": "<OME/>"}, UNKNOWN),
    ],
)
def test_sizes_in_the_metadata_of_other_readers(metadata: Any, expected: Any) -> None:
    size, unit = metadata_size(metadata)
    assert (size, unit) == (expected[0] and pytest.approx(expected[0]), expected[1])


def test_the_size_in_the_metadata_is_offered(panel: Any, qtbot: Any) -> None:
    row, viewer = panel.image_form.pixel_row, panel.viewer()
    viewer.layers.clear()
    layer = viewer.add_image(np.zeros((40, 60)), metadata={"pixel_size": 2.5, "unit": "nm"})
    qtbot.waitUntil(lambda: "in the layer's metadata: 2.5 nm" in row.text.text())
    row.text.linkActivated.emit("use")
    assert pixel_size(layer) == ((2.5, 2.5), "nm")


def test_the_size_beside_a_png_is_offered(panel: Any, qtbot: Any, tmp_path: Any) -> None:
    row, viewer = panel.image_form.pixel_row, panel.viewer()
    viewer.layers.clear()
    iio.imwrite(tmp_path / "sem.png", np.zeros((40, 60), np.uint8))
    (tmp_path / "sem.txt").write_text("$$SM_MICRON_BAR 100\n$$SM_MICRON_MARKER 100nm\n")
    (layer,) = viewer.open(tmp_path / "sem.png", plugin="napari")
    qtbot.waitUntil(lambda: "in the file: 1 nm" in row.text.text())
    row.text.linkActivated.emit("use")
    assert pixel_size(layer) == ((1.0, 1.0), "nm")
