"""Pixel sizes from the file or typed; labels on the image are scaled too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tifffile

from napari_samstar.widgets.panels.segment.panel import SegmentPanel
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
