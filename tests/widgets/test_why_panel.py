"""The panel on missing objects: a cause is found, a setting loosened, an object kept."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.select import select
from napari_samstar.core.masks.outlines import rim
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.progress import run
from napari_samstar.core.results.recipe import Recipe
from napari_samstar.core.results.result import restore_edits
from napari_samstar.widgets.panels.why.panel import Explanation, WhyPanel
from napari_samstar.widgets.viewer.layer_writer import (
    OUTLINE_NAME,
    OUTLINE_WIDTH,
    PREVIEW_NAME,
    RECIPE_KEY,
)
from tests.widgets.hand import Hand


@pytest.fixture
def why(segmented: Any) -> WhyPanel:
    """The panel, with a setting so strict that the first object is missing."""
    panel = WhyPanel(segmented.viewer)
    segmented.viewer.window.add_dock_widget(panel)
    session = panel.controller.session
    panel.missing_id = session.result.selection.candidates[0]
    rating = float(session.result.selection.predicted_iou[0])
    session.show(session.config.replace(pred_iou_thresh=min(1.0, round(rating + 0.02, 2))))
    assert panel.missing_id not in session.selection.candidates
    return panel


def _click_on_missing_object(why: WhyPanel, qtbot: Any) -> None:
    """Click on the canvas in the middle of the missing object."""
    mask = why.controller.session.result.bank.masks.dense(int(why.missing_id))
    row, col = np.argwhere(mask)[mask.sum() // 2].tolist()
    viewer = why.viewer()
    why.pick_button.setChecked(True)
    Hand(viewer, viewer.layers["discs"], qtbot).click((row, col))
    qtbot.waitUntil(lambda: bool(why.findings))
    at = [f.mask_id for f in why.findings].index(int(why.missing_id))
    why.list.setCurrentRow(at)
    qtbot.waitUntil(why.loosen_button.isEnabled)


def test_loosening_the_named_setting_brings_the_object_back(why: WhyPanel, qtbot: Any) -> None:
    _click_on_missing_object(why, qtbot)
    assert "Predicted quality" in why.details.text()
    assert "would keep it" in why.details.text()
    outline = why.viewer().layers[OUTLINE_NAME]
    mask = why.controller.session.result.bank.masks.dense(int(why.missing_id))
    np.testing.assert_array_equal(outline.data, rim(mask, OUTLINE_WIDTH))
    why.loosen_button.click()
    assert why.missing_id in why.controller.session.selection.candidates
    qtbot.waitUntil(lambda: any(f.kept and f.mask_id == why.missing_id for f in why.findings))


def test_a_kept_object_can_be_undone_and_is_in_the_recipe(why: WhyPanel, qtbot: Any) -> None:
    controller = why.controller
    _click_on_missing_object(why, qtbot)
    applied = controller.apply() if len(controller.session.selection) else None
    why.keep_button.click()
    mask = controller.session.result.bank.masks.dense(int(why.missing_id))
    preview = why.viewer().layers[PREVIEW_NAME].data
    assert (preview[mask] == preview.max()).all()
    if applied is not None:
        assert len(set(applied.data[mask].tolist())) == 1
        assert len(applied.metadata[RECIPE_KEY]["pinned"]) == 1
    assert not why.keep_button.isEnabled()
    recipe = Recipe.from_dict(json.loads(json.dumps(controller.session.recipe().to_dict())))
    bank = ProposalBank(
        controller.session.result.image, controller.session.result.model, EmbeddingCache()
    )
    run(bank.prepare(recipe.config))
    (again,) = restore_edits(recipe, bank.image, bank.masks).pinned
    np.testing.assert_array_equal(bank.masks.dense(again), mask)
    assert len(select(bank, recipe.config)) == len(controller.session.selection)
    controller.history.undo()
    assert controller.session.edits.pinned == ()
    assert (why.viewer().layers[PREVIEW_NAME].data[mask] == 0).any()
    controller.history.redo()
    assert controller.session.edits.pinned == (why.missing_id,)


def test_a_click_beside_all_candidates_shows_advice(why: WhyPanel, qtbot: Any) -> None:
    why._pixel = (0, 0)
    why._on_findings(why._request, Explanation(()))
    assert "Points per side" in why.message.text()
    assert not why.keep_button.isEnabled()
    why.hide()
    assert not why.pick_button.isChecked()
    assert why.controller.layers.visible_layer(OUTLINE_NAME) is None


def test_without_a_result_the_panel_shows_the_next_step(panels: Any) -> None:
    why = WhyPanel(panels.viewer)
    assert not why.pick_button.isEnabled()
    assert "Segment" in why.message.text()
    why.deleteLater()
