"""The Correct panel: click on objects, accept them, and SAM learns from them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QPushButton

from napari_samstar.app.correcting import CorrectionController
from napari_samstar.core.errors import UserError
from napari_samstar.core.interactive.placed_mask import PlacedMask, part_around
from napari_samstar.widgets.forms.buttons import button
from napari_samstar.widgets.forms.job_bar import JobBar
from napari_samstar.widgets.forms.restore_row import RestoreRow
from napari_samstar.widgets.forms.shared import combo, error_html, heading, link, note
from napari_samstar.widgets.jobs.task_queue import TaskQueue
from napari_samstar.widgets.panel import Panel
from napari_samstar.widgets.panels.correct.canvas import CorrectionMouse
from napari_samstar.widgets.panels.correct.layer import (
    find_object,
    label_at,
    label_covering,
    plane_of,
    write_object,
)
from napari_samstar.widgets.panels.correct.learn_form import LearnForm
from napari_samstar.widgets.panels.correct.unfinished_row import UnfinishedRow
from napari_samstar.widgets.shell.alive import call_if_alive
from napari_samstar.widgets.viewer.keys import KeyBindings
from napari_samstar.widgets.viewer.layer_writer import OUTLINE_NAME
from napari_samstar.widgets.viewer.world import to_viewer

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_samstar.app.correcting import ComputedState, StartMask
    from napari_samstar.core.adaptation.online import Adaptation, UpdateResult
    from napari_samstar.core.interactive.click_session import ClickSession
    from napari_samstar.core.interactive.unfinished import UnfinishedObject
    from napari_samstar.core.models.backend import LoadedModel
    from napari_samstar.widgets.viewer.controller import ViewerController

KEYS = {"Enter": "accept", "Escape": "skip", "N": "next", "U": "undo", "R": "redo"}
NEW_LAYER = "A new Labels layer"
CUT = (
    "<b>The object is cut at the edge of the {side} px that SAM sees of it</b>: skip it and draw a "
    "box around all of it, or lower <i>Tile scale</i> in the {segment} panel."
)
HELP = (
    "<b>Left click</b> adds, <b>right click</b> (or Ctrl) removes, <b>Shift and drag</b> draws a "
    "box. A click into an object of the layer below selects it."
)

_corrections: WeakKeyDictionary[ViewerController, CorrectionController] = WeakKeyDictionary()
"""One for each viewer; it outlives its panel."""


class CorrectPanel(Panel):
    """Corrects single objects of the segmented plane."""

    MAX_HEIGHT = 470

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.correction = _corrections.setdefault(self.controller, CorrectionController())
        self.click_queue, self.training_queue = TaskQueue(), TaskQueue()
        self._mouse = CorrectionMouse(napari_viewer, self._on_click, self._on_box, self._show_error)
        calls = {key: call_if_alive(getattr(self, name)) for key, name in KEYS.items()}
        self._keys = KeyBindings(napari_viewer, calls)
        self._build_object_rows()
        self.column.addWidget(heading("Learning"))
        self.learn_form = LearnForm(self, self.correction, self.click_queue, self.training_queue)
        self.column.addWidget(self.learn_form)
        self.job_bar = JobBar(self)
        self.column.addWidget(self.job_bar)
        self.column.addStretch(1)
        self.listen(self.controller.session.events.result, self._on_session_result)
        self.listen(self.controller.jobs.changed, self._on_jobs_changed)
        self.listen(self.correction.changed, self._refresh)
        for event in ("inserted", "removed", "renamed"):
            self.listen(getattr(napari_viewer.layers.events, event), self._refresh_layers)
        mouse, keys = self._mouse, self._keys
        self.destroyed.connect(lambda: mouse.set_enabled(False))
        self.destroyed.connect(lambda: keys.set_enabled(False))
        self._on_session_result()

    # --- build --------------------------------------------------------------------------------

    def _build_object_rows(self) -> None:
        self.start_button = QPushButton("Correct by clicking")
        self.start_button.setCheckable(True)
        self.start_button.setToolTip("While this is pressed, clicks on the image correct objects.")
        self.start_button.toggled.connect(self._on_start_toggled)
        self.message = note()
        self.connect_links(self.message)
        self.accept_button = button(
            "Accept (Enter)", "Write the object into the layer.", self.accept
        )
        self.skip_button = button("Skip (Esc)", "Discard the clicks on the object.", self.skip)
        self.undo_button = button("Undo (U)", "Undo the last click.", self.undo)
        self.redo_button = button("Redo (R)", "Redo the undone click.", self.redo)
        self.next_button = button(
            "Next uncertain object (N)",
            "Select the object of lowest predicted quality times stability.",
            self.next,
        )
        self.layer_box = combo("The layer of accepted objects. Other objects keep their pixels.")
        self.restore_row = RestoreRow(self)
        self.unfinished_row = UnfinishedRow(
            self, self.correction, self.layer_box.currentText, self.resume
        )
        self.column.addWidget(self.restore_row)
        self.column.addWidget(self.start_button)
        self.column.addWidget(self.message)
        self.column.addWidget(self.unfinished_row)
        for pair in ((self.accept_button, self.skip_button), (self.undo_button, self.redo_button)):
            self.add_row(*pair).setStretch(1, 1)
        self.column.addWidget(self.next_button)
        self.add_row(note("Objects go to"), self.layer_box, stretch=1)

    # --- user actions -------------------------------------------------------------------------

    def accept(self) -> None:
        """Write the current object and learn from it."""
        correction = self.correction
        placed = correction.accepted_mask()
        if placed is None:
            return
        target, partly = self.target_layer(), correction.draws_parts
        layer = write_object(self.controller, placed, correction.label, target, partly)
        if layer is None:
            self._show_error("Other objects cover all of it: nothing was written.")
            return
        example = self.correction.accepted_example()
        self.skip()
        self._refresh_layers()
        self.layer_box.setCurrentText(layer.name)
        if example is not None:
            work = partial(self.correction.learn_object, example)
            self.training_queue.add(work, self._on_object_learned)

    def skip(self) -> None:
        """Discard the current object and its clicks."""
        self.correction.discard()
        self.unfinished_row.delete()

    def undo(self) -> None:
        """Undo the last click."""
        self.correction.undo()

    def redo(self) -> None:
        """Redo an undone click."""
        self.correction.redo()

    def next(self) -> None:
        """Select the next uncertain object."""
        result, selection = self.correction.result, self.controller.session.selection
        if result is None or selection is None:
            return
        mask_id = self.correction.next_uncertain(selection)
        if mask_id is None:
            self.message.setText("No uncertain object is left.")
            return
        self.start_button.setChecked(True)
        store = result.bank.masks
        mask = PlacedMask(store.window(mask_id), *store[mask_id].box[:2])
        self._refine(lambda: mask, label_covering(self.target_layer(), mask), centre=True)

    def resume(self, saved: UnfinishedObject) -> None:
        """Continue an object of an earlier session, or from before the panel was closed."""
        start, gone = None, f"First restore the labels of '{saved.layer}'."
        if saved.label:
            self.layer_box.setCurrentText(saved.layer)
            layer = self.target_layer()
            if layer is None:
                self._show_error(gone)
                return
            start = partial(find_object, plane_of(layer), saved.label)
        self.start_button.setChecked(True)
        work = partial(self.correction.compute_replay, self.controller.cache(), saved, start)
        self.click_queue.add(work, partial(self._on_session_ready, saved.label, True, gone))

    def target_layer(self) -> Labels | None:
        """Return the layer for accepted objects, None for a new one."""
        name = self.layer_box.currentText()
        return next((x for x in self.controller.layers.replaceable() if x.name == name), None)

    # --- canvas -------------------------------------------------------------------------------

    def _on_click(self, position: Any, positive: bool) -> None:
        pixel = self._to_pixel(position)
        if pixel is None:
            return
        from napari_samstar.core.interactive.clicks import Click

        if self.correction.state is None and not self.click_queue.busy:
            layer = self.target_layer()
            label = label_at(layer, pixel)
            if label and layer is not None:
                self._refine(partial(find_object, plane_of(layer), label), label)
                return
        click = Click(*pixel, positive)
        work = partial(self.correction.compute_click, self.controller.cache(), click)
        self.click_queue.add(work, self._on_state_computed)

    def _on_box(self, start: Any, end: Any) -> None:
        corners = [pixel for p in (start, end) if (pixel := self._to_pixel(p)) is not None]
        if len(corners) < 2:
            return
        from napari_samstar.core.interactive.clicks import BoxPrompt

        low, high = np.min(corners, axis=0).tolist(), np.max(corners, axis=0).tolist()
        if low[0] < high[0] and low[1] < high[1]:
            box = BoxPrompt(*low, *high)
            work = partial(self.correction.compute_box, self.controller.cache(), box)
            self.click_queue.add(work, self._on_state_computed)

    def _show_error(self, text: str) -> None:
        self.message.setText(error_html(text))

    def _to_pixel(self, position: Any) -> tuple[int, int] | None:
        """Return the pixel (row, col) at a world position; None outside of the image."""
        placement, result = self.controller.layers.placement, self.correction.result
        viewer = self.viewer()
        if placement is None or result is None or viewer is None:
            return None
        try:
            pixel = placement.world_to_pixel(viewer, position)
        except UserError as error:
            self._show_error(str(error))
            return None
        if pixel is None:
            plane = ", ".join(map(str, placement.plane))
            self._show_error(f"The objects are of plane {plane}: go there to click.")
            return None
        if min(pixel) < 0 or np.any(np.array(pixel) >= result.image.shape):
            return None
        return pixel

    def _refine(self, mask: StartMask, label: int, centre: bool = False) -> None:
        """Make an existing object the current one, and with `centre` move the camera to it."""
        work = partial(self.correction.compute_start, self.controller.cache(), mask)
        gone = "The object is not there any more: click again."
        self.click_queue.add(work, partial(self._on_session_ready, label, centre, gone))

    # --- updates ------------------------------------------------------------------------------

    def _on_session_ready(
        self, label: int, centre: bool, gone: str, session: ClickSession | None
    ) -> None:
        if session is None:
            self._show_error(gone)
            return
        self.correction.start(session, label)
        part = self._drawn_part()
        if centre and part is not None:
            self._centre_camera(part)

    def _on_state_computed(self, computed: ComputedState) -> None:
        if self.correction.apply(computed) and self.correction.learning:
            self.training_queue.add(self.correction.learn_clicks, self._on_clicks_learned, "clicks")

    def _on_clicks_learned(self, learned: tuple[ClickSession, LoadedModel] | None) -> None:
        if learned is not None:
            self.correction.use_click_model(*learned)
            self.learn_form.recompute()

    def _on_object_learned(self, learned: tuple[Adaptation, UpdateResult]) -> None:
        self.correction.record_update(*learned)

    def _on_start_toggled(self, on: bool) -> None:
        self._mouse.set_enabled(on)
        self.controller.layers.set_outline_user(self, on)
        self._keys.set_enabled(on)
        if not on:
            self.correction.discard()
        self._refresh()

    def _on_session_result(self, *_: Any) -> None:
        result = self.controller.session.result
        if result is not self.correction.result:
            self.correction.open(result)
        if result is None:
            self.start_button.setChecked(False)
        self._refresh_layers()
        self._refresh()

    def _on_jobs_changed(self, status: Any) -> None:
        self.job_bar.show_status(status)

    def _refresh_layers(self, *_: Any) -> None:
        before = self.layer_box.currentText()
        names = [x.name for x in self.controller.layers.replaceable()]
        with QSignalBlocker(self.layer_box):
            self.layer_box.clear()
            self.layer_box.addItems([*names, NEW_LAYER])
            if before in (*names, NEW_LAYER):
                self.layer_box.setCurrentText(before)

    def _refresh(self, *_: Any) -> None:
        correction = self.correction
        has_result = correction.result is not None
        self.start_button.setEnabled(has_result)
        self.next_button.setEnabled(has_result)
        self.accept_button.setEnabled(correction.extent is not None)
        self.skip_button.setEnabled(correction.state is not None)
        self.undo_button.setEnabled(correction.can_undo)
        self.redo_button.setEnabled(correction.can_redo)
        self.message.setText(self._help_text())
        part = self._drawn_part()
        if self.start_button.isChecked() and part is not None:
            self.controller.layers.outline(part.mask, origin=(part.row, part.col))
        elif part is None and (self.start_button.isChecked() or has_result):
            self.controller.layers.outline(None)

    def _drawn_part(self) -> PlacedMask | None:
        """Return the current mask on the part of the image that is drawn."""
        correction = self.correction
        placed, window, extent = correction.placed, correction.window, correction.extent
        if placed is None or window is None or not correction.draws_parts:
            return placed
        if extent is None:
            return None
        return placed.within(part_around(extent, window.extent))

    def _help_text(self) -> str:
        correction = self.correction
        if correction.result is None:
            return f"First press <i>Segment</i> in the {link('Segment')} panel."
        if not self.start_button.isChecked():
            return "Press the button, then click on an object that is wrong or missing."
        if correction.state is None:
            return HELP
        name = f"Object {correction.label}" if correction.label else "New object"
        if correction.is_cut and correction.window is not None:
            side = max(correction.window.shape)
            return CUT.format(side=side, segment=link("Segment"))
        return f"<b>{name}</b>, {len(correction.clicks)} clicks. {HELP}"

    def _centre_camera(self, part: PlacedMask) -> None:
        viewer, layer = self.viewer(), self.controller.layers.visible_layer(OUTLINE_NAME)
        if viewer is None or layer is None:
            return
        centre = np.argwhere(part.mask).mean(axis=0)
        own = layer.data_to_world((*[0] * (layer.ndim - 2), *centre))
        world = to_viewer(viewer, own, layer.units)
        camera = getattr(viewer, "scene", viewer).camera  # `scene` is new in napari 0.9
        camera.center = (0.0, *world[-2:])

    def hideEvent(self, event: Any) -> None:
        """Stop correcting: a hidden panel must not react to clicks."""
        super().hideEvent(event)
        self.start_button.setChecked(False)
