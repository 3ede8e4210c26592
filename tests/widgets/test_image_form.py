"""The form for the image and its mapping to 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.widgets.panels.segment.panel import SegmentPanel

LONG = "a very long name of an image layer as microscopes like to make them 2026-11-21_001"


@pytest.fixture
def panel(make_napari_viewer: Any) -> SegmentPanel:
    viewer = make_napari_viewer(show=True)
    made = SegmentPanel(viewer)
    viewer.window.add_dock_widget(made)
    return made


def test_the_thumbnail_follows_layer_plane_and_intensities(panel: Any, qtbot: Any) -> None:
    form, viewer = panel.image_form, panel.viewer()
    assert form.thumbnail.isHidden()
    assert "Drop an image" in form.plane_note.text()
    stack = np.zeros((3, 40, 60), dtype=np.uint16)
    stack[1, :, :30], stack[2, :, 30:] = 900, 900
    layer = viewer.add_image(stack, name=LONG)
    assert form.layer() is layer
    assert form.planes() == (3,)
    width = panel.sizeHint().width()

    def gray() -> Any:
        picture = form.thumbnail.pixmap()
        if picture is None or picture.isNull():
            return None
        image = picture.toImage()
        spots = (image.width() // 4, 3 * image.width() // 4)
        return [image.pixelColor(x, image.height() // 2).red() for x in spots]

    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: gray() == [255, 0])
    form.invert_box.setChecked(True)
    qtbot.waitUntil(lambda: gray() == [0, 255])
    viewer.dims.set_current_step(0, 2)
    qtbot.waitUntil(lambda: gray() == [255, 0])
    form.invert_box.setChecked(False)
    viewer.dims.set_current_step(0, 0)
    qtbot.waitUntil(lambda: "constant" in form.thumbnail.text())
    form.plane_box.setCurrentIndex(1)  # the maximum over the first axis
    assert form.planes() == ()
    form.plane_box.setCurrentIndex(0)
    viewer.dims.set_current_step(0, 1)
    form.stretch_box.setCurrentIndex(1)
    layer.contrast_limits = (0, 1800)
    qtbot.waitUntil(lambda: gray() is not None and abs(gray()[0] - 128) < 2)
    assert panel.sizeHint().width() == width
    layer.name = "short"
    assert form.layer() is layer
    assert form.layer_box.currentText() == "short"


def test_a_colour_layer_has_a_choice_of_colours_and_a_recipe_is_shown(panel: Any) -> None:
    form, viewer = panel.image_form, panel.viewer()
    rgb = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    viewer.add_image(rgb, name="colours")
    assert form._form.isRowVisible(form.channel_box)
    assert not form._form.isRowVisible(form.plane_box)
    wanted = ImageMapping(stretch="limits", limits=(10, 90), invert=True, channel=1, low=1, high=99)
    form.show_mapping(wanted)
    assert form.mapping() == wanted
    form.stretch_box.setCurrentIndex(0)
    form.channel_box.setCurrentIndex(0)
    form.invert_box.setChecked(False)
    assert form.mapping() == ImageMapping()


def test_the_device_is_shown_with_its_reason(panel: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: "Runs on" in panel.model_form.note.text())
    assert "BSD-3-Clause" in panel.model_form.note.text()
