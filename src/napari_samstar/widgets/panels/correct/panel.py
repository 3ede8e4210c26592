"""The Correct panel: click on objects, accept them, and SAM learns from them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QPushButton, QToolTip

from napari_samstar.app.correcting import CorrectionController
from napari_samstar.core.errors import UserError
from napari_samstar.core.interactive.placed_mask import PlacedMask, part_around, union
from napari_samstar.widgets.forms.buttons import button, share_width
from napari_samstar.widgets.forms.job_bar import JobBar
from napari_samstar.widgets.forms.restore_row import RestoreRow
from napari_samstar.widgets.forms.shared import combo, counted, error_html, heading, link, note
from napari_samstar.widgets.jobs.task_queue import TaskQueue
from napari_samstar.widgets.panel import Panel
from napari_samstar.widgets.panels.correct.canvas import CorrectionMouse
from napari_samstar.widgets.panels.correct.learn_form import LearnForm
from napari_samstar.widgets.panels.correct.tools import (
    delete_object,
    lock_object,
    merge_objects,
    split_object,
)
from napari_samstar.widgets.panels.correct.unfinished_row import UnfinishedRow
from napari_samstar.widgets.shell.alive import call_if_alive
from napari_samstar.widgets.shell.refit import canvas_size
from napari_samstar.widgets.viewer.keys import KeyBindings
from napari_samstar.widgets.viewer.layer_writer import OUTLINE_NAME
from napari_samstar.widgets.viewer.objects import (
    Objects,
    ObjectsOfLayer,
    ObjectsOnShow,
    find_object,
    label_at,
    label_covering,
)
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

KEYS = {
    "Enter": ("accept", "accept the object"),
    "Escape": ("skip", "let go of it"),
    "Delete": ("delete", "delete the object, selected or under the mouse"),
    "M": ("start_merge", "merge: then click on the other object"),
    "S": ("start_split", "split: then drag a line, or click at two points"),
    "L": ("lock", "lock the object: settings do not change it any more"),
    "N": ("next", "next doubtful object"),
    "P": ("previous", "previous doubtful object"),
    "Z": ("zoom", "zoom to the object"),
    "U": ("undo", "undo"),
    "R": ("redo", "redo"),
    "Space": ("toggle_overlay", "hide or show the objects"),
    "O": ("toggle_outlines", "outlines or fills"),
}
"""By napari's name of the key: the method, and what it does."""

CUT = (
    "<b>The object is cut at the edge of the {side} px that SAM sees of it</b>: skip it and draw a "
    "box around all of it, or lower <i>Tile scale</i> in the {segment} panel."
)
HELP = (
    "<b>Left click</b> adds, <b>right click</b> (or Ctrl) removes, <b>Shift and drag</b> draws a "
    "box. A click into an object selects it."
)
MERGE, SPLIT = "merge", "split"
TOOL_HELP = {
    MERGE: "<b>Merge</b>: click on the object to merge with. Esc: do not.",
    SPLIT: "<b>Split</b>: drag a line across the object, or click at two points of it. Esc: do "
    "not.",
}
SMALL = 40.0  # px on the screen: the view zooms to a smaller object that was not clicked on

_corrections: WeakKeyDictionary[ViewerController, CorrectionController] = WeakKeyDictionary()
"""One for each viewer; it outlives its panel."""


class CorrectPanel(Panel):
    """Corrects single objects of the segmented plane."""

    MAX_HEIGHT = 470

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.correction = _corrections.setdefault(self.controller, CorrectionController())
        self.click_queue, self.training_queue = TaskQueue(), TaskQueue()
        self._tool = ""
        self._split_from: tuple[int, int] | None = None
        self._known_layers: list[str] = []
        self._mouse = CorrectionMouse(napari_viewer, self._on_click, self._on_box, self._show_error)
        self._mouse.on_line = call_if_alive(self._on_line)
        calls = {key: call_if_alive(getattr(self, name)) for key, (name, _) in KEYS.items()}
        self._keys = KeyBindings(napari_viewer, calls)
        self._build_object_rows()
        self.column.addWidget(heading("Learning"))
        self.learn_form = LearnForm(self, self.correction, self.click_queue, self.training_queue)
        self.column.addWidget(self.learn_form)
        self.column.addStretch(1)
        self.job_bar = JobBar(self)
        self.actions.addWidget(self.job_bar)
        self.listen(self.controller.session.events.result, self._on_session_result)
        self.listen(self.correction.changed, self._refresh)
        self.listen(self.controller.history.changed, self._refresh)
        self.listen(self.controller.session.events.selection, self._refresh_layers)
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
        self.accept_button = button("Accept (Enter)", "Keep the object as it is now.", self.accept)
        self.skip_button = button("Skip (Esc)", "Discard the clicks on the object.", self.skip)
        self.undo_button = button("Undo (U)", "", self.undo)
        self.redo_button = button("Redo (R)", "", self.redo)
        self.delete_button = button("Delete", "Delete the selected object (Delete).", self.delete)
        self.merge_button = button(
            "Merge", "Merge the selected object with another (M).", self.start_merge
        )
        self.split_button = button(
            "Split",
            "Cut the selected object along a line or between two points (S).",
            self.start_split,
        )
        self.lock_button = button(
            "Lock", "Keep the selected object as it is, whatever the settings (L).", self.lock
        )
        tip = "The object of lowest predicted quality times stability, then the next."
        self.previous_button = button("◀ (P)", "The doubtful object before.", self.previous)
        self.next_button = button("Next doubtful (N)", tip, self.next)
        self.zoom_button = button("Zoom (Z)", "Zoom to the selected object.", self.zoom)
        self.keys_button = button("?", _keys_html(), self.show_keys)
        self.keys_button.setFixedWidth(28)
        self.layer_box = combo("The objects that clicks and tools change.")
        self.restore_row = RestoreRow(self)
        self.unfinished_row = UnfinishedRow(
            self, self.correction, self.layer_box.currentText, self.resume
        )
        self.column.addWidget(self.restore_row)
        self.add_row(self.start_button, self.keys_button)
        self.add_row(note("Work on"), self.layer_box, stretch=1)
        self.column.addWidget(self.unfinished_row)
        tools = (self.delete_button, self.merge_button, self.split_button, self.lock_button)
        line = self.add_row(*tools)
        for k in range(len(tools)):
            line.setStretch(k, 1)
        share_width(*tools, self.previous_button, self.next_button, self.zoom_button)
        line = self.add_row(self.previous_button, self.next_button, self.zoom_button)
        for k, share in enumerate((2, 5, 3)):
            line.setStretch(k, share)
        self.actions.addWidget(self.message)
        for pair in ((self.accept_button, self.skip_button), (self.undo_button, self.redo_button)):
            self.add_row(*pair, below=True).setStretch(1, 1)

    # --- user actions -------------------------------------------------------------------------

    def accept(self) -> None:
        """Write the current object and learn from it."""
        correction, objects = self.correction, self.objects()
        if correction.extent is None:
            return
        placed, start = correction.accepted, correction.start_mask
        old = [] if start is None else [label_covering(objects, start)]
        old = [label for label in old if label]
        if placed is None:
            self._delete(old[0] if old else 0)
            return
        near = placed.extent if start is None else union(placed.extent, start.extent)
        text = "Correct an object" if old else "Add an object"
        example = correction.accepted_example()
        if not objects.replace(text, old, [placed], near):
            self._show_error("Other objects cover all of it: nothing was written.")
            return
        self.skip()
        if example is not None:
            work = partial(self.correction.learn_object, example)
            self.training_queue.add(work, self._on_object_learned)

    def skip(self) -> None:
        """Leave a tool, or discard the current object and its clicks."""
        if self._tool:
            self._set_tool("")
            return
        self.correction.discard()
        self.unfinished_row.delete()

    def undo(self) -> None:
        """Undo the last click; without one, the last change of the objects."""
        if self.correction.can_undo:
            self.correction.undo()
        else:
            self.correction.discard()
            self.controller.history.undo()

    def redo(self) -> None:
        """Redo an undone click, or an undone change of the objects."""
        if self.correction.can_redo:
            self.correction.redo()
        else:
            self.controller.history.redo()

    def delete(self) -> None:
        """Delete the selected object; without one, that under the mouse."""
        label = self._selected() or self._label_under_mouse()
        if label:
            self._delete(label)
        else:
            self.message.setText("Click on the object to delete, then press Delete.")

    def _delete(self, label: int) -> None:
        if label and delete_object(self.objects(), label):
            self.correction.discard()
            self.unfinished_row.delete()
            self.message.setText("The object is deleted. <b>U</b> brings it back.")

    def start_merge(self) -> None:
        """Merge the selected object with the one that is clicked next."""
        self._start_tool(MERGE)

    def start_split(self) -> None:
        """Split the selected object along a line, or between two points."""
        self._start_tool(SPLIT)

    def _start_tool(self, tool: str) -> None:
        if self._selected():
            self._set_tool(tool)
        else:
            self.message.setText(f"Click on an object first, then {tool} it.")

    def _set_tool(self, tool: str) -> None:
        self._tool, self._split_from = tool, None
        self._mouse.draws_lines = tool == SPLIT
        self._refresh()

    def lock(self) -> None:
        """Keep the selected object whatever the settings."""
        label = self._selected() or self._label_under_mouse()
        if label and lock_object(self.objects(), label):
            self.correction.discard()
            self.message.setText("The object is locked: settings do not change it any more.")

    def next(self) -> None:
        """Select the next doubtful object."""
        self._go(1)

    def previous(self) -> None:
        """Select the doubtful object before."""
        self._go(-1)

    def _go(self, step: int) -> None:
        session = self.controller.session
        result, selection = self.correction.result, session.selection
        if result is None or selection is None:
            return
        mask_id = self.correction.next_uncertain(selection, session.edits, step)
        if mask_id is None:
            self.message.setText("No doubtful object is left.")
            return
        self.start_button.setChecked(True)
        store = result.bank.masks
        mask = PlacedMask(store.window(mask_id), *store[mask_id].box[:2])
        self._refine(lambda: mask, label_covering(self.objects(), mask), centre=True)

    def zoom(self) -> None:
        """Move and zoom the view to the selected object."""
        part = self._drawn_part()
        if part is not None:
            self._look_at(part, closer=True)

    def toggle_overlay(self) -> None:
        """Hide all objects, or show them again."""
        self.controller.layers.toggle_overlay()

    def toggle_outlines(self) -> None:
        """Show objects as outlines, or filled."""
        self.controller.layers.toggle_outlines()

    def show_keys(self) -> None:
        """Show what the keys do."""
        QToolTip.showText(
            self.keys_button.mapToGlobal(self.keys_button.rect().bottomLeft()),
            _keys_html(),
            self.keys_button,
        )

    def resume(self, saved: UnfinishedObject) -> None:
        """Continue an object of an earlier session, or from before the panel was closed."""
        start, gone = None, f"First restore the labels of '{saved.layer}'."
        if saved.label:
            self.layer_box.setCurrentText(saved.layer)
            if self.layer_box.currentText() != saved.layer:
                self._show_error(gone)
                return
            start = partial(find_object, self.objects().plane(), saved.label)
        self.start_button.setChecked(True)
        work = partial(self.correction.compute_replay, self.controller.cache(), saved, start)
        self.click_queue.add(work, partial(self._on_session_ready, saved.label, True, gone))

    def target_layer(self) -> Labels | None:
        """Return the layer to work on; None where it is the objects on show."""
        name = self.layer_box.currentText()
        return next((x for x in self.controller.layers.replaceable() if x.name == name), None)

    def objects(self) -> Objects:
        """Return what clicks and tools change."""
        layer = self.target_layer()
        if layer is None:
            return ObjectsOnShow(self.controller)
        return ObjectsOfLayer(self.controller, layer, partly=self.correction.draws_parts)

    def _selected(self) -> int:
        """Return the label of the selected object as it is now, 0 without one."""
        start = self.correction.start_mask
        return 0 if start is None else label_covering(self.objects(), start)

    def _label_under_mouse(self) -> int:
        viewer = self.viewer()
        if viewer is None or self.correction.result is None:
            return 0
        pixel = self._to_pixel(np.array(viewer.cursor.position))
        return 0 if pixel is None else label_at(self.objects(), pixel)

    # --- canvas -------------------------------------------------------------------------------

    def _on_click(self, position: Any, positive: bool) -> None:
        pixel = self._to_pixel(position)
        if pixel is None:
            return
        if self._tool:
            self._use_tool(pixel)
            return
        if self.correction.state is None and not self.click_queue.busy:
            objects = self.objects()
            label = label_at(objects, pixel)
            if label:
                self._refine(partial(find_object, objects.plane(), label), label)
                return
            if not positive:
                self.message.setText("A right click removes from an object: click on one first.")
                return
        from napari_samstar.core.interactive.clicks import Click

        click = Click(*pixel, positive)
        work = partial(self.correction.compute_click, self.controller.cache(), click)
        self.click_queue.add(work, self._on_state_computed)

    def _use_tool(self, pixel: tuple[int, int]) -> None:
        """Go on with the tool at a clicked pixel."""
        if self._tool == MERGE:
            objects = self.objects()
            self._finish_tool(merge_objects(objects, self._selected(), label_at(objects, pixel)))
        elif self._split_from is None:
            self._split_from = pixel
        else:
            self._split(self._split_from, pixel, line=False)

    def _on_line(self, start: Any, end: Any) -> None:
        corners = [self._to_pixel(p) for p in (start, end)]
        if corners[0] is not None and corners[1] is not None:
            self._split(corners[0], corners[1], line=True)

    def _split(self, start: tuple[int, int], end: tuple[int, int], *, line: bool) -> None:
        self._split_from = None
        self._finish_tool(split_object(self.objects(), self._selected(), start, end, line=line))

    def _finish_tool(self, problem: str) -> None:
        if problem:
            self._show_error(problem)
            return
        self._set_tool("")
        self.correction.discard()
        self.unfinished_row.delete()

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
            self._look_at(part, closer=False)

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
            self._set_tool("")
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

    def _refresh_layers(self, *_: Any) -> None:
        before, applied = self.layer_box.currentText(), self.controller.layers.applied
        names = [x.name for x in self.controller.layers.replaceable()]
        new = applied is not None and applied.name not in self._known_layers
        self._known_layers = names
        with QSignalBlocker(self.layer_box):
            self.layer_box.clear()
            self.layer_box.addItems([ObjectsOnShow.name, *names])
            if new and applied is not None:
                self.layer_box.setCurrentText(applied.name)
            elif before in names:
                self.layer_box.setCurrentText(before)

    def _refresh(self, *_: Any) -> None:
        correction = self.correction
        has_result = correction.result is not None
        self.start_button.setEnabled(has_result)
        self.next_button.setEnabled(has_result)
        self.accept_button.setEnabled(correction.extent is not None)
        self.skip_button.setEnabled(correction.state is not None)
        history = self.controller.history
        self.undo_button.setEnabled(correction.can_undo or bool(history.undo_text))
        self.redo_button.setEnabled(correction.can_redo or bool(history.redo_text))
        self.undo_button.setToolTip(
            "Undo the last click." if correction.can_undo else f"Undo: {history.undo_text}"
        )
        self.redo_button.setToolTip(
            "Redo the undone click." if correction.can_redo else f"Redo: {history.redo_text}"
        )
        refines = correction.start_mask is not None
        for tool in (self.merge_button, self.split_button, self.lock_button, self.delete_button):
            tool.setEnabled(refines)
        self.previous_button.setEnabled(has_result)
        self.zoom_button.setEnabled(correction.state is not None)
        self.message.setText(self._help_text())
        self._draw_object()

    def _draw_object(self) -> None:
        """Draw the outline of the current object and its clicks."""
        part = self._drawn_part()
        if self.start_button.isChecked() and part is not None:
            clicks = [(round(c.row), round(c.col), c.positive) for c in self.correction.clicks]
            origin = (part.row, part.col)
            self.controller.layers.outline(part.mask, origin=origin, clicks=clicks)
        elif part is None and (self.start_button.isChecked() or self.correction.result is not None):
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
        if self._tool:
            return TOOL_HELP[self._tool]
        if correction.state is None:
            return HELP
        name = "Selected object" if correction.label else "New object"
        if correction.is_cut and correction.window is not None:
            side = max(correction.window.shape)
            return CUT.format(side=side, segment=link("Segment"))
        return f"<b>{name}</b>, {counted(len(correction.clicks), 'click')}. {HELP}"

    def _look_at(self, part: PlacedMask, *, closer: bool) -> None:
        """Move the view to an object, and zoom to it: with `closer`, or where it looks small."""
        viewer, layer = self.viewer(), self.controller.layers.visible_layer(OUTLINE_NAME)
        tight = part.tight()
        if viewer is None or layer is None or tight is None:
            return
        rows, cols = tight.mask.shape
        row, col = tight.row - part.row + (rows - 1) / 2, tight.col - part.col + (cols - 1) / 2
        own = layer.data_to_world((*[0] * (layer.ndim - 2), row, col))
        world = to_viewer(viewer, own, layer.units)
        camera = getattr(viewer, "scene", viewer).camera  # `scene` is new in napari 0.9
        camera.center = (0.0, *world[-2:])
        far = to_viewer(
            viewer,
            layer.data_to_world((*[0] * (layer.ndim - 2), row + rows, col + cols)),
            layer.units,
        )
        side = float(np.abs(far - world)[-2:].max())
        if closer or side * camera.zoom < SMALL:
            canvas = min(canvas_size(viewer) or (600, 600))
            camera.zoom = canvas / (3 * max(side, 1e-9))

    def hideEvent(self, event: Any) -> None:
        """Stop correcting: a hidden panel must not react to clicks."""
        super().hideEvent(event)
        self.start_button.setChecked(False)


def _keys_html() -> str:
    rows = "".join(f"<tr><td><b>{k}</b>&nbsp;</td><td>{about}</td></tr>" for k, (_, about) in
                   KEYS.items())  # fmt: skip
    return f"<table>{rows}</table>"
