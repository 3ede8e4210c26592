"""The region of the Segment panel: shapes, labels, what is on show, data bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmarks.data_bar import with_bar
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.region import Region
from napari_samstar.widgets.forms.region_form import EVERYTHING, NOTHING, VISIBLE
from napari_samstar.widgets.panels.segment.panel import SegmentPanel

if TYPE_CHECKING:
    from napari_samstar.widgets.forms.image_form import ImageForm

SHAPE = (100, 120)
STACK = np.random.default_rng(0).integers(0, 255, (3, *SHAPE), dtype=np.uint8)


@pytest.fixture
def form(make_napari_viewer: Any) -> ImageForm:
    viewer = make_napari_viewer(show=True)
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel)
    viewer.add_image(STACK, name="stack", scale=(5, 0.5, 0.25), translate=(0, 7, 9))
    viewer.dims.set_current_step(0, 1)
    made: ImageForm = panel.image_form
    return made


def region_of(form: ImageForm) -> np.ndarray[Any, Any]:
    chosen = form.chosen_image()
    assert chosen is not None
    return chosen[0].mapping.region.mask(SHAPE)


def test_shapes_are_in_pixels_of_the_image(form: ImageForm) -> None:
    viewer = form._viewer()
    assert viewer is not None
    world = np.array([[7 + 10 * 0.5, 9 + 20 * 0.25], [7 + 30 * 0.5, 9 + 60 * 0.25]])
    viewer.add_shapes([world], shape_type="rectangle", name="mine")
    assert region_of(form).all()
    form.region_form.inside_box.setCurrentText("mine")
    expected = np.zeros(SHAPE, dtype=bool)
    expected[10:30, 20:60] = True
    assert (region_of(form) ^ expected).sum() <= 2 * (20 + 40)
    form.region_form.inside_box.setCurrentText(EVERYTHING)
    form.region_form.outside_box.setCurrentText("mine")
    assert (region_of(form) ^ ~expected).sum() <= 2 * (20 + 40)
    viewer.layers.remove("mine")
    assert region_of(form).all()


def test_ellipses_and_lines(form: ImageForm) -> None:
    viewer = form._viewer()
    assert viewer is not None
    corners = np.array([[10, 10], [10, 50], [30, 50], [30, 10]]) * (0.5, 0.25) + (7, 9)
    layer = viewer.add_shapes([corners], shape_type="ellipse", name="mine")
    form.region_form.inside_box.setCurrentText("mine")
    assert region_of(form).sum() == pytest.approx(np.pi * 10 * 20, rel=0.02)
    layer.data = []
    layer.add_lines(corners[:2])
    with pytest.raises(UserError, match="mine has no shape on this plane"):
        form.chosen_image()


def test_labels_are_a_region_of_their_plane(form: ImageForm) -> None:
    viewer = form._viewer()
    assert viewer is not None
    labels = np.zeros((3, *SHAPE), dtype=np.int32)
    labels[1, 20:40, 30:50] = 5
    viewer.add_labels(labels, name="painted")
    viewer.add_labels(np.ones((9, 9), dtype=np.int32), name="small")
    form.region_form.inside_box.setCurrentText("painted")
    np.testing.assert_array_equal(region_of(form), labels[1] > 0)
    form.region_form.outside_box.setCurrentText("painted")
    form.region_form.inside_box.setCurrentText(EVERYTHING)
    np.testing.assert_array_equal(region_of(form), labels[1] == 0)
    form.region_form.outside_box.setCurrentText(NOTHING)
    viewer.add_labels(labels[1], name="of any plane")
    form.region_form.inside_box.setCurrentText("of any plane")
    np.testing.assert_array_equal(region_of(form), labels[1] > 0)
    form.region_form.outside_box.setCurrentText("small")
    with pytest.raises(UserError, match="another size than the image"):
        form.chosen_image()


def test_what_is_on_show_and_objects_at_the_border(form: ImageForm, qtbot: Any) -> None:
    viewer = form._viewer()
    assert viewer is not None
    camera = getattr(viewer, "scene", viewer).camera
    camera.zoom *= 4
    qtbot.wait(100)
    form.region_form.inside_box.setCurrentText(VISIBLE)
    assert 0 < region_of(form).sum() < 0.5 * STACK[0].size
    form.region_form.border_box.setChecked(True)
    chosen = form.chosen_image()
    assert chosen is not None
    assert not chosen[0].mapping.region.border_objects


def test_a_data_bar_is_said_and_kept_with_one_click(form: ImageForm, qtbot: Any) -> None:
    viewer = form._viewer()
    assert viewer is not None
    grey = np.clip(np.random.default_rng(0).normal(120, 25, (400, 500)), 0, 255).astype(np.uint8)
    image, height = with_bar(grey, "white on black", np.random.default_rng(3))
    viewer.add_image(image, name="sem")
    form.layer_box.setCurrentText("sem")
    note = form.region_form.bar_note
    qtbot.waitUntil(lambda: "A data bar of" in note.text())
    chosen = form.chosen_image()
    assert chosen is not None
    assert not chosen[0].prepare().region.is_whole
    note.linkActivated.emit("bar")
    chosen = form.chosen_image()
    assert chosen is not None
    assert chosen[0].prepare().region.is_whole
    note.linkActivated.emit("bar")
    qtbot.waitUntil(lambda: f"{height} rows" in note.text() or "A data bar of" in note.text())
    form.layer_box.setCurrentText("stack")
    qtbot.waitUntil(note.isHidden)


def test_the_region_of_a_recipe_is_used(form: ImageForm) -> None:
    region = Region((((10, 10), (10, 60), (60, 10)),), border_objects=False)
    form.show_mapping(ImageMapping(region=region, data_bar="keep"))
    chosen = form.chosen_image()
    assert chosen is not None
    assert chosen[0].mapping.region == region
    assert chosen[0].mapping.data_bar == "keep"
    form.region_form.inside_box.setCurrentText(EVERYTHING)
    assert region_of(form).all()
