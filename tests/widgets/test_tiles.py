"""Images that are cut into tiles, in the window, with the bundled model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import napari_samstar as ss
from napari_samstar.core.image import large
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.widgets.forms.settings_form import BY_SIZE
from napari_samstar.widgets.panels.segment.panel import SegmentPanel
from napari_samstar.widgets.viewer.layer_writer import PREVIEW_NAME, TILES_NAME
from tests.widgets.waiting import wait_for_jobs, wait_for_workers

SCALE = 1.0
SHAPE = (700, 1000)


def field() -> np.ndarray:
    """Discs of 24 px on a dark, noisy ground, uint8."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = (rows % 50 - 25) ** 2 + (cols % 50 - 25) ** 2 < 144
    image = np.where(inside, 180, 60) + rng.normal(0, 8, SHAPE)
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture
def panel(make_napari_viewer: Callable[..., Any]) -> SegmentPanel:
    viewer = make_napari_viewer(show=True)
    viewer.add_image(field(), name="field")
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel)
    panel.settings.tiles.value = SCALE
    return panel


def run(panel: SegmentPanel, qtbot: Any) -> None:
    panel.run_button.click()
    wait_for_jobs(panel.controller.jobs, qtbot)


def test_the_preview_fills_tile_by_tile_and_the_grid_goes_at_the_end(
    panel: SegmentPanel, qtbot: Any
) -> None:
    viewer = panel.viewer()
    panel.run_button.click()
    qtbot.waitUntil(lambda: TILES_NAME in viewer.layers)
    grid, preview = viewer.layers[TILES_NAME], viewer.layers[PREVIEW_NAME]
    assert preview.data.any()
    assert set(np.unique(grid.data)) == {0, 1, 2}
    np.testing.assert_allclose(grid.extent.world, preview.extent.world, atol=2 * grid.scale[-1])
    wait_for_jobs(panel.controller.jobs, qtbot)
    assert TILES_NAME not in viewer.layers
    result = panel.controller.session.result
    np.testing.assert_array_equal(viewer.layers[PREVIEW_NAME].data, result.labels)
    assert result.labels.max() == 14 * 20
    assert panel.run_button.text() == "Segment"


def test_tiles_in_view_come_first(panel: SegmentPanel, qtbot: Any) -> None:
    viewer = panel.viewer()
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 650, 950), 8
    qtbot.waitUntil(lambda: viewer.layers["field"].corner_pixels[0, 1] > 800)
    panel.run_button.click()
    qtbot.waitUntil(lambda: TILES_NAME in viewer.layers)
    preview = viewer.layers[PREVIEW_NAME].data
    assert preview[600:, 900:].any()
    assert not preview[:300, :300].any()
    panel.controller.jobs.stop()


def test_stop_keeps_tiles_and_continue_does_the_others(panel: SegmentPanel, qtbot: Any) -> None:
    jobs, session = panel.controller.jobs, panel.controller.session
    panel.run_button.click()
    qtbot.waitUntil(lambda: TILES_NAME in panel.viewer().layers)
    panel.job_bar.stop.click()
    qtbot.waitUntil(lambda: session.result is not None)
    wait_for_jobs(jobs, qtbot)
    assert session.result.is_partial
    assert 0 < len(session.selection) < 280
    assert "tiles</b> are done" in panel.message.text()
    assert panel.run_button.text() == "Continue"
    assert TILES_NAME not in panel.viewer().layers
    before, bank = session.result.bank.n_prompts, session.result.bank
    panel.settings.rows["pred_iou_thresh"].value = 0.5
    assert len(session.selection), "settings work on the tiles that are there"
    panel.settings.rows["pred_iou_thresh"].value = 0.88
    run(panel, qtbot)
    assert session.result.bank is bank
    assert bank.n_prompts > before
    assert not session.result.is_partial
    assert panel.run_button.text() == "Segment"

    image = LoadedImage(field(), name="field")
    alone = ss.segment(image, tile_scale=SCALE)
    np.testing.assert_array_equal(session.result.labels, alone.labels)


def test_the_scale_is_chosen_by_size_and_shown(panel: SegmentPanel, qtbot: Any) -> None:
    viewer = panel.viewer()
    viewer.layers.clear()
    viewer.add_image(np.tile(field(), (2, 2)), name="four")
    panel.settings.tiles.value = BY_SIZE
    run(panel, qtbot)
    result = panel.controller.session.result
    assert 0.5 < result.config.tile_scale < 1.5
    assert f"at scale {result.config.tile_scale:g}" in panel.message.text()
    assert panel.settings.tiles.value == BY_SIZE
    assert panel.settings.config() == result.config
    assert panel.settings.config_to_run().tile_scale is None
    assert f"({result.config.tile_scale:g})" in panel.settings.tiles.native.currentText()


def test_a_recipe_brings_its_scale_and_zoom_levels_go_without_tiles(panel: SegmentPanel) -> None:
    form, config = panel.settings, panel.settings.config()
    form.tiles.value = BY_SIZE
    form.show_recipe(config.replace(tile_scale=0.37), "pocket")
    assert form.tiles.value == 0.37
    assert form.config_to_run().tile_scale == 0.37
    form.rows["crop_n_layers"].value = 1
    assert form.config_to_run().tile_scale == 0


def test_settings_of_a_large_image_are_selected_off_the_gui_thread(
    panel: SegmentPanel, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large, "LARGE_PIXELS", 1000)
    run(panel, qtbot)
    session = panel.controller.session
    assert session.result.image.is_large
    before = session.selection
    panel.settings.rows["pred_iou_thresh"].value = 0.999
    assert session.selection is before, "not at once"
    qtbot.waitUntil(lambda: session.selection is not before)
    assert len(session.selection) < len(before)
    wait_for_workers(qtbot)
    assert panel.viewer().layers[PREVIEW_NAME].data.max() == len(session.selection)
