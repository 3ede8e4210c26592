"""The Correct and Why panels on an image that is cut into tiles, in a real window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import select
from napari_samstar.core.image import large
from napari_samstar.core.image.prepare import prepare
from napari_samstar.core.masks.outlines import rim
from napari_samstar.core.models.loading import load
from napari_samstar.core.progress import run
from napari_samstar.core.results.result import Result
from napari_samstar.widgets.panels.correct.panel import CorrectPanel
from napari_samstar.widgets.panels.why.panel import WhyPanel
from napari_samstar.widgets.viewer.controller import controller_of
from napari_samstar.widgets.viewer.layer_writer import OUTLINE_NAME, OUTLINE_WIDTH, PREVIEW_NAME
from napari_samstar.widgets.viewer.layers import Placement
from tests.widgets.hand import Hand
from tests.widgets.test_correct import wait_until_processed, work_on_an_empty_layer

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import Part
    from napari_samstar.core.amg.candidates import Candidates
    from napari_samstar.core.image.micrograph import Micrograph

SIDE, RADIUS = 1200, 11
CONFIG = AmgConfig(
    tile_scale=1.0, points_per_side=16, pred_iou_thresh=0.3, stability_score_thresh=0.5
)
DISC, OTHER_DISC, LAST_DISC = (600, 655), (90, 100), (1120, 1130)


def disc(centre: tuple[int, int], radius: float = RADIUS) -> np.ndarray:
    rows, cols = np.ogrid[:SIDE, :SIDE]
    return (rows - centre[0]) ** 2 + (cols - centre[1]) ** 2 <= radius**2


def shown_outline(layer: Any, value: int = 0) -> np.ndarray:
    """Return the outline at its place in the whole image."""
    row, col = np.round(np.array(layer.translate) / layer.scale).astype(int).tolist()
    rows, cols = layer.data.shape
    whole = np.zeros((SIDE, SIDE), dtype=bool)
    whole[row : row + rows, col : col + cols] = (layer.data == value) if value else (layer.data > 0)
    return whole


@pytest.fixture(scope="module")
def gray() -> np.ndarray:
    rng = np.random.default_rng(0)
    gray = np.full((SIDE, SIDE), 60.0)
    for centre in (DISC, OTHER_DISC, LAST_DISC):
        gray[disc(centre)] = 190
    return np.clip(gray + rng.normal(0, 8, gray.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def first_tile(gray: np.ndarray) -> tuple[Micrograph, Part, Candidates]:
    """Return the image, which is read window by window, and what is in its first tile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large, "LARGE_PIXELS", 2**20)
        image = prepare(gray)
    assert image.is_large
    bank = ProposalBank(image, load("pocket", "cpu"))
    part = bank.parts(CONFIG)[0]
    return image, part, run(bank.decode(part))


@pytest.fixture
def viewer(make_napari_viewer, gray, first_tile):
    """A large image whose first tile is decoded."""
    viewer = make_napari_viewer(show=True)
    layer = viewer.add_image(gray, name="discs", scale=(0.5, 0.5))
    image, part, candidates = first_tile
    bank = ProposalBank(image, load("pocket", "cpu"))
    bank.add(part, candidates)
    result = Result(bank, select(bank, CONFIG, partial=True))
    assert result.is_partial
    controller = controller_of(viewer)
    controller.layers.placement = Placement.of(layer, ())
    controller.session.set_result(result)
    return viewer


@pytest.fixture
def correct(viewer, qtbot):
    panel = CorrectPanel(viewer)
    viewer.window.add_dock_widget(panel)
    panel.start_button.setChecked(True)
    work_on_an_empty_layer(panel)
    return panel


def click(panel: CorrectPanel, qtbot: Any, pixel: tuple[int, int], positive: bool = True) -> None:
    """Click on a pixel as the canvas tells it, and wait."""
    panel._on_click(np.array(pixel) * 0.5, positive)
    wait_until_processed(panel, qtbot)


def test_a_click_on_the_canvas_outlines_a_small_object_in_a_part_of_the_image(
    correct, viewer, qtbot
):
    hand = Hand(viewer, viewer.layers["discs"], qtbot)
    hand.click(DISC)
    wait_until_processed(correct, qtbot)
    mask = correct.correction.placed.within((0, 0, SIDE, SIDE)).mask
    assert (mask & disc(DISC)).sum() > 0.8 * (mask | disc(DISC)).sum()
    outline = viewer.layers[OUTLINE_NAME]
    assert outline.data.shape == (256, 256)
    marked = np.argwhere(outline.data == 2)  # green, where the click was
    row, col = np.round(np.array(outline.translate) / outline.scale).astype(int)
    offset = marked.mean(axis=0) - DISC
    assert abs(offset[0] + row) < 3
    assert abs(offset[1] + col) < 3
    inner = ~disc(DISC, RADIUS + 8) | disc(DISC, RADIUS - 3)
    assert not (shown_outline(outline, 1) & inner).any()


def test_the_outline_follows_to_the_next_object_without_a_new_layer(correct, viewer, qtbot):
    click(correct, qtbot, DISC)
    first = viewer.layers[OUTLINE_NAME]
    correct.skip()
    click(correct, qtbot, LAST_DISC)
    second = viewer.layers[OUTLINE_NAME]
    assert second is first
    assert second.visible
    found = shown_outline(second)
    assert found.any()
    assert not (found & ~disc(LAST_DISC) & ~rim(~disc(LAST_DISC), 4)).any()


def test_accepted_objects_are_written_at_their_place_and_can_be_undone(correct, viewer, qtbot):
    correct.learn_form.learn_box.setChecked(False)
    masks = []
    for at in (DISC, OTHER_DISC):
        click(correct, qtbot, at)
        masks.append(correct.correction.placed.within((0, 0, SIDE, SIDE)).mask)
        correct.accept()
        assert correct.correction.state is None
    layer = correct.target_layer()
    assert layer.data.shape == (SIDE, SIDE)
    np.testing.assert_array_equal(layer.data, masks[0] + 2 * masks[1].astype(int))
    drawn = layer._slice.image.raw
    np.testing.assert_array_equal(drawn, layer.data)
    correct.controller.history.undo()
    np.testing.assert_array_equal(layer.data, masks[0])
    correct.controller.history.redo()
    np.testing.assert_array_equal(layer.data == 2, masks[1])
    layer.data[OTHER_DISC] = 9  # painted meanwhile: it stays
    correct.controller.history.undo()
    assert layer.data[OTHER_DISC] == 9
    assert np.count_nonzero(layer.data == 2) == 0


def test_an_object_of_the_layer_is_refined_in_its_window(correct, viewer, qtbot):
    correct.learn_form.learn_box.setChecked(False)
    click(correct, qtbot, DISC)
    correct.accept()
    layer = correct.target_layer()
    before = np.array(layer.data)
    click(correct, qtbot, DISC)
    assert correct.correction.label == 1
    np.testing.assert_array_equal(
        correct.correction.placed.within((0, 0, SIDE, SIDE)).mask, before == 1
    )
    more = (DISC[0], DISC[1] + RADIUS + 5)
    click(correct, qtbot, more)
    correct.accept()
    assert layer.data[more] == 1
    correct.controller.history.undo()
    np.testing.assert_array_equal(layer.data, before)


def test_a_click_outside_of_the_window_and_a_cut_object_are_explained(correct, qtbot):
    click(correct, qtbot, DISC)
    assert "1 click." in correct.message.text()
    correct.correction.state.prediction.__dict__["extent"] = (0, 100, 200, 300)
    correct._refresh()
    assert "cut at the edge of the 512 px" in correct.message.text()
    assert "Tile scale" in correct.message.text()
    click(correct, qtbot, (5, 5))
    assert len(correct.correction.clicks) == 1


def test_the_next_uncertain_object_is_refined_in_a_window(correct, qtbot):
    selection = correct.correction.result.selection
    doubt = selection.predicted_iou * selection.stability
    correct.layer_box.setCurrentText("The objects on show")
    correct.next()
    wait_until_processed(correct, qtbot)
    expected = correct.correction.result.bank.masks.dense(int(selection.ids[doubt.argmin()]))
    np.testing.assert_array_equal(
        correct.correction.placed.within((0, 0, SIDE, SIDE)).mask, expected
    )
    assert not correct.correction.window.is_whole


def test_unfinished_clicks_are_restored_in_their_window(correct, qtbot):
    click(correct, qtbot, DISC)
    click(correct, qtbot, (DISC[0] + 40, DISC[1]), False)
    mask, window = correct.correction.placed, correct.correction.window
    correct.start_button.setChecked(False)
    assert "2 clicks" in correct.unfinished_row.text.text()
    correct.unfinished_row.button.click()
    wait_until_processed(correct, qtbot)
    assert correct.correction.window == window
    np.testing.assert_array_equal(correct.correction.placed.mask, mask.mask)


@pytest.fixture
def why(viewer):
    panel = WhyPanel(viewer)
    viewer.window.add_dock_widget(panel)
    return panel


def explain_at(why: WhyPanel, qtbot: Any, pixel: tuple[int, int]) -> None:
    request = why._request
    why.message.setText("")
    why.explain_at(pixel)
    assert why._request == request + 1
    qtbot.waitUntil(lambda: bool(why.message.text()))


def test_a_tile_that_is_not_decoded_is_named(why, qtbot):
    explain_at(why, qtbot, LAST_DISC)
    assert why.findings == ()
    assert "not decoded yet" in why.message.text()
    assert "Continue" in why.message.text()


def test_candidates_of_a_tile_are_outlined_in_a_part_and_can_be_kept(why, viewer, qtbot):
    session = why.controller.session
    session.show(session.config.replace(pred_iou_thresh=0.99))
    qtbot.waitUntil(lambda: session.selection.config.pred_iou_thresh == 0.99)
    assert len(session.selection) == 0
    explain_at(why, qtbot, OTHER_DISC)
    assert "candidate" in why.message.text()
    why.list.setCurrentRow(0)
    finding = why.findings[0]
    assert not finding.kept
    mask = session.result.bank.masks.dense(finding.shown_id)
    np.testing.assert_array_equal(
        shown_outline(viewer.layers[OUTLINE_NAME]), rim(mask, OUTLINE_WIDTH)
    )
    qtbot.waitUntil(why.loosen_button.isEnabled)
    assert "Predicted quality" in why.details.text()
    why.keep()
    assert session.edits.pinned == (finding.shown_id,)
    qtbot.waitUntil(lambda: bool(viewer.layers[PREVIEW_NAME].data[mask].all()))
    qtbot.waitUntil(why.loosen_button.isEnabled)
    why.loosen()
    qtbot.waitUntil(lambda: len(session.selection) > 0)
    assert finding.mask_id in session.selection.candidates
