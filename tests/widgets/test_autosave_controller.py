"""Labels are saved in the background, and restored when their image is opened again."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from napari_samstar.core.results import autosave
from napari_samstar.widgets.forms.restore_row import RestoreRow
from napari_samstar.widgets.panels.segment.panel import SegmentPanel
from napari_samstar.widgets.viewer import autosave_controller
from napari_samstar.widgets.viewer.autosave_tasks import EXECUTOR
from napari_samstar.widgets.viewer.controller import controller_of
from napari_samstar.widgets.viewer.layer_writer import RECIPE_KEY
from tests.widgets.conftest import discs

if TYPE_CHECKING:
    from napari.layers import Labels


@pytest.fixture(autouse=True)
def short_delay(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path))
    monkeypatch.setattr(autosave_controller, "SAVE_DELAY", 50)


def wait_until_saved(controller: Any, qtbot: Any) -> None:
    """Wait until all changes are on disk and the controller knows."""
    autosave = controller.autosave

    def is_waiting() -> bool:
        return bool(autosave._changed_layers) or autosave._timer.isActive()

    def is_saved() -> bool:
        if is_waiting():
            return False
        EXECUTOR.submit(int).result()
        QApplication.processEvents()
        return not is_waiting()

    qtbot.waitUntil(is_saved)


def open_image(make_napari_viewer: Any, image: Any, **more: Any) -> Any:
    viewer = make_napari_viewer()
    viewer.add_image(image, name="a micrograph", **more)
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel)
    row = panel.findChild(RestoreRow)
    return SimpleNamespace(viewer=viewer, controller=controller_of(viewer), row=row)


def add_painted_labels(controller: Any, viewer: Any, qtbot: Any, shape: Any = (128, 160)) -> Labels:
    """Return a layer that was added, painted on and partly undone."""
    qtbot.waitUntil(lambda: len(controller.autosave._images) > 0)
    layer = viewer.add_labels(np.zeros(shape, np.int32), name="by hand")
    layer.brush_size = 9
    for k in range(1, 4):
        layer.paint((*[0] * (len(shape) - 2), 20 * k, 30), k)
    layer.undo()
    wait_until_saved(controller, qtbot)
    return layer


def test_painted_labels_are_restored_bit_for_bit_in_another_session(
    make_napari_viewer: Any, qtbot: Any
) -> None:
    first = open_image(make_napari_viewer, discs())
    assert first.row.isHidden()
    layer = add_painted_labels(first.controller, first.viewer, qtbot)
    layer.metadata = {RECIPE_KEY: {"model": "pocket"}}
    layer.paint((99, 99), 7)
    wait_until_saved(first.controller, qtbot)
    expected = np.array(layer.data)
    assert set(np.unique(expected)) == {0, 1, 2, 7}

    # The first session is not closed. A second one opens the same image under another name.
    second = open_image(make_napari_viewer, discs(), scale=(0.5, 0.5), units=("nm", "nm"))
    second.viewer.layers[0].name = "renamed"
    qtbot.waitUntil(lambda: not second.row.isHidden())
    assert "by hand" in second.row.text.text()
    assert "3 objects" in second.row.text.text()
    second.row.button.click()
    qtbot.waitUntil(lambda: "by hand" in second.viewer.layers)
    restored = second.viewer.layers["by hand"]
    assert restored.data.dtype == layer.data.dtype
    np.testing.assert_array_equal(restored.data, expected)
    assert restored.metadata[RECIPE_KEY] == {"model": "pocket"}
    np.testing.assert_allclose(restored.scale, (0.5, 0.5))
    assert second.row.isHidden()
    second.controller.history.undo()
    assert "by hand" not in second.viewer.layers


def test_labels_of_a_plane_and_of_a_stack_are_restored_in_place(
    make_napari_viewer: Any, qtbot: Any
) -> None:
    stack = np.stack([discs(), discs()[::-1], discs()[:, ::-1]])
    first = open_image(make_napari_viewer, stack, scale=(3, 1, 1))
    qtbot.waitUntil(lambda: len(first.controller.autosave._images) > 0)
    single = np.zeros((1, 128, 160), np.int32)
    single[0, 9, 9] = 4
    first.viewer.add_labels(single, name="one plane", translate=(6, 0, 0), scale=(3, 1, 1))
    whole = np.zeros((3, 128, 160), np.uint8)
    whole[1, 5:9, 5:9] = 1
    first.viewer.add_labels(whole, name="all planes", scale=(3, 1, 1))
    wait_until_saved(first.controller, qtbot)

    second = open_image(make_napari_viewer, stack, scale=(5, 1, 1))
    qtbot.waitUntil(lambda: not second.row.isHidden())
    second.row.button.click()
    qtbot.waitUntil(lambda: len(second.viewer.layers) == 3)
    np.testing.assert_array_equal(second.viewer.layers["one plane"].data, single)
    np.testing.assert_allclose(second.viewer.layers["one plane"].translate, (10, 0, 0))
    np.testing.assert_array_equal(second.viewer.layers["all planes"].data, whole)
    np.testing.assert_allclose(second.viewer.layers["all planes"].scale, (5, 1, 1))


def test_a_change_just_before_the_viewer_closes_is_saved(
    make_napari_viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_image(make_napari_viewer, discs())
    layer = add_painted_labels(first.controller, first.viewer, qtbot)
    monkeypatch.setattr(autosave_controller, "SAVE_DELAY", 60_000)
    layer.paint((99, 99), 9)
    expected = np.array(layer.data)
    first.viewer.close()
    EXECUTOR.submit(int).result()
    image = autosave.image_id(discs())
    ((saved,),) = [s.layers for s in autosave.find(image)]
    np.testing.assert_array_equal(autosave.load(saved).labels, expected)


def test_a_removed_layer_is_not_offered_and_unchanged_files_are_not_saved(
    make_napari_viewer: Any, qtbot: Any, tmp_path: Any
) -> None:
    first = open_image(make_napari_viewer, discs())
    add_painted_labels(first.controller, first.viewer, qtbot)
    other = first.viewer.add_labels(np.ones((128, 160), np.uint8), name="thrown away")
    wait_until_saved(first.controller, qtbot)
    first.viewer.layers.remove(other)
    wait_until_saved(first.controller, qtbot)
    np.save(tmp_path / "truth.npy", np.ones((128, 160), np.uint8))
    (truth,) = first.viewer.open(tmp_path / "truth.npy", layer_type="labels", plugin="napari")
    wait_until_saved(first.controller, qtbot)
    image = autosave.image_id(discs())
    assert [s.name for s in autosave.find(image)[0].layers] == ["by hand"]
    truth.data[0, 0] = 9
    truth.refresh()
    wait_until_saved(first.controller, qtbot)
    assert {s.name for s in autosave.find(image)[0].layers} == {"by hand", truth.name}


def test_a_full_disk_is_reported_once_and_saving_resumes(
    make_napari_viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(autosave_controller, "show_warning", warnings.append)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez_compressed", full)
        first = open_image(make_napari_viewer, discs())
        layer = add_painted_labels(first.controller, first.viewer, qtbot)
        layer.paint((60, 60), 5)
        wait_until_saved(first.controller, qtbot)
        assert len(warnings) == 1
        assert "The disk is full" in warnings[0]
    layer.paint((80, 80), 6)
    wait_until_saved(first.controller, qtbot)
    image = autosave.image_id(discs())
    np.testing.assert_array_equal(
        autosave.load(autosave.find(image)[0].layers[0]).labels, layer.data
    )


def test_saved_sessions_can_be_dismissed(make_napari_viewer: Any, qtbot: Any) -> None:
    first = open_image(make_napari_viewer, discs())
    add_painted_labels(first.controller, first.viewer, qtbot)
    second = open_image(make_napari_viewer, discs())
    qtbot.waitUntil(lambda: not second.row.isHidden())
    second.row.close_button.click()
    assert second.row.isHidden()
    assert second.controller.autosave.saved_sessions() == []
