"""The Correct panel: click on an object, accept it, and SAM learns from it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QPushButton

from napari_samstar.app.correcting import Correcting
from napari_samstar.widgets.forms.buttons import button
from napari_samstar.widgets.forms.job_bar import JobBar
from napari_samstar.widgets.forms.restore_row import RestoreRow
from napari_samstar.widgets.forms.shared import combo, error_html, heading, link, note
from napari_samstar.widgets.jobs.task_queue import TaskQueue
from napari_samstar.widgets.panel import Panel
from napari_samstar.widgets.panels.correct.canvas import CorrectingMouse
from napari_samstar.widgets.panels.correct.layer import label_at, label_under, mask_of, write
from napari_samstar.widgets.panels.correct.learn_form import LearnForm
from napari_samstar.widgets.panels.correct.unfinished_row import UnfinishedRow
from napari_samstar.widgets.shell.alive import call_if_alive
from napari_samstar.widgets.viewer.keys import KeyBindings
from napari_samstar.widgets.viewer.layer_writer import OUTLINE_NAME

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_samstar.core.interactive.unfinished import Unfinished
    from napari_samstar.widgets.viewer.controller import ViewerController

KEYS = {"Enter": "accept", "Escape": "skip", "N": "next", "U": "undo", "R": "redo"}
NEW = "A new Labels layer"
HELP = (
    "<b>Left click</b> adds, <b>right click</b> (or Ctrl) removes, <b>Shift and drag</b> draws a "
    "box. A click into an object of the layer below picks it up."
)

_known: WeakKeyDictionary[ViewerController, Correcting] = WeakKeyDictionary()


class CorrectPanel(Panel):
    """Corrects one object after the other on the segmented plane."""

    MAX_HEIGHT = 470

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.correcting = _known.setdefault(self.controller, Correcting())
        self.answers, self.training_targets = TaskQueue(), TaskQueue()
        self._mouse = CorrectingMouse(napari_viewer, self._on_click, self._on_box, self._say)
        calls = {key: call_if_alive(getattr(self, name)) for key, name in KEYS.items()}
        self._keys = KeyBindings(napari_viewer, calls)
        self._build_object_rows()
        self.column.addWidget(heading("Learning"))
        self.learn_form = LearnForm(self, self.correcting, self.answers, self.training_targets)
        self.column.addWidget(self.learn_form)
        self.job_bar = JobBar(self)
        self.column.addWidget(self.job_bar)
        self.column.addStretch(1)
        self.listen(self.controller.session.events.segmented, self._on_session_segmented)
        self.listen(self.controller.jobs.changed, self._on_jobs_changed)
        self.listen(self.correcting.changed, self._refresh)
        for event in ("inserted", "removed", "renamed"):
            self.listen(getattr(napari_viewer.layers.events, event), self._refresh_layers)
        mouse, keys = self._mouse, self._keys
        self.destroyed.connect(lambda: mouse.set_enabled(False))
        self.destroyed.connect(lambda: keys.set_enabled(False))
        self._on_session_segmented()

    # --- build --------------------------------------------------------------------------------

    def _build_object_rows(self) -> None:
        self.start_button = QPushButton("Correct by clicking")
        self.start_button.setCheckable(True)
        self.start_button.setToolTip("While this is pressed, clicks on the image correct objects.")
        self.start_button.toggled.connect(self._on_start_toggled)
        self.message = note()
        self.connect_links(self.message)
        self.accept_button = button("Accept (Enter)", "Write the object.", self.accept)
        self.skip_button = button("Skip (Esc)", "Put the object away unchanged.", self.skip)
        self.undo_button = button("Undo (U)", "Take the last click back.", self.undo)
        self.redo_button = button("Redo (R)", "Click once more.", self.redo)
        self.next_button = button(
            "Next doubtful object (N)",
            "Pick up the object of which SAM is least certain: lowest quality times stability.",
            self.next,
        )
        self.layer_box = combo("Accepted objects go there. Pixels of other objects stay theirs.")
        self.restore_row = RestoreRow(self)
        self.unfinished = UnfinishedRow(
            self, self.correcting, self.layer_box.currentText, self.go_on_with
        )
        self.column.addWidget(self.restore_row)
        self.column.addWidget(self.start_button)
        self.column.addWidget(self.message)
        self.column.addWidget(self.unfinished)
        for pair in ((self.accept_button, self.skip_button), (self.undo_button, self.redo_button)):
            self.add_row(*pair).setStretch(1, 1)
        self.column.addWidget(self.next_button)
        self.add_row(note("Objects go to"), self.layer_box, stretch=1)

    # --- what the user does ---------------------------------------------------------------------

    def accept(self) -> None:
        """Write the object in hand and learn from it."""
        mask = self.correcting.mask
        if mask is None or not mask.any():
            return
        layer = write(self.controller, mask, self.correcting.label, self.target())
        if layer is None:
            self.message.setText(error_html("Other objects cover all of it: nothing was written."))
            return
        example = self.correcting.training_target()
        self.correcting.drop()
        self.unfinished.forget()
        self._refresh_layers()
        self.layer_box.setCurrentText(layer.name)
        if example is not None:
            work = partial(_run, self.correcting.learn_object, example)
            self.training_targets.add(work, self._on_object_learned)

    def skip(self) -> None:
        """Put the object in hand away."""
        self.correcting.drop()
        self.unfinished.forget()

    def undo(self) -> None:
        """Undo the last click."""
        self.correcting.undo()

    def redo(self) -> None:
        """Redo a click."""
        self.correcting.redo()

    def next(self) -> None:
        """Pick up the next doubtful object."""
        segmented = self.correcting.segmented
        at = self.correcting.next_suspicious()
        if segmented is None or at is None:
            self.message.setText("No doubtful object is left.")
            return
        self.start_button.setChecked(True)
        mask = segmented.bank.masks.dense(int(segmented.selection.ids[at]))
        self._pick_up(mask, label_under(self.target(), mask), look=True)

    def go_on_with(self, left: Unfinished) -> None:
        """Take up an object that was begun in an earlier session, or before the panel closed."""
        start = None
        if left.label:
            self.layer_box.setCurrentText(left.layer)
            start = mask_of(self.target(), left.label)
            if start is None or not start.any():
                self.message.setText(error_html(f"First bring back the labels of '{left.layer}'."))
                return
        self.start_button.setChecked(True)
        work = partial(self.correcting.ask_replay, self.controller.cache(), left, start)
        self.answers.add(work, partial(self._on_start, left.label, True))

    def target(self) -> Labels | None:
        """Return the layer that accepted objects go to, None for a new one."""
        name = self.layer_box.currentText()
        return next((x for x in self.controller.layers.replaceable() if x.name == name), None)

    # --- canvas -------------------------------------------------------------------------------

    def _on_click(self, position: Any, positive: bool) -> None:
        spot = self._pixel(position)
        if spot is None:
            return
        from napari_samstar.core.interactive.clicks import Click

        if self.correcting.state is None and not self.answers.busy:
            label = label_at(self.target(), spot)
            if label:
                self._pick_up(mask_of(self.target(), label), label)
                return
        click = Click(*spot, positive)
        work = partial(self.correcting.ask_click, self.controller.cache(), click)
        self.answers.add(work, self._on_answer)

    def _on_box(self, start: Any, end: Any) -> None:
        corners = [spot for p in (start, end) if (spot := self._pixel(p)) is not None]
        if len(corners) < 2:
            return
        from napari_samstar.core.interactive.clicks import BoxPrompt

        low, high = np.min(corners, axis=0).tolist(), np.max(corners, axis=0).tolist()
        if low[0] < high[0] and low[1] < high[1]:
            work = partial(self.correcting.ask_box, self.controller.cache(), BoxPrompt(*low, *high))
            self.answers.add(work, self._on_answer)

    def _say(self, sentence: str) -> None:
        self.message.setText(error_html(sentence))

    def _pixel(self, position: Any) -> tuple[int, int] | None:
        placement, segmented = self.controller.layers.placement, self.correcting.segmented
        if placement is None or segmented is None:
            return None
        spot = placement.world_to_pixel(position)
        if spot is None:
            plane = ", ".join(map(str, placement.plane))
            self._say(f"The objects on show are of plane {plane}: go there to click.")
            return None
        if min(spot) < 0 or np.any(np.array(spot) >= segmented.image.shape):
            return None
        return spot

    def _pick_up(self, mask: Any, label: int, look: bool = False) -> None:
        work = partial(self.correcting.ask_start, self.controller.cache(), mask)
        self.answers.add(work, partial(self._on_start, label, look))

    # --- what happened ------------------------------------------------------------------------

    def _on_start(self, label: int, look: bool, session: Any) -> None:
        self.correcting.pick_up(session, label)
        if look:
            self._look_at(session.state.prediction.mask)

    def _on_answer(self, asked: Any) -> None:
        if self.correcting.take(asked) and self.correcting.learning:
            self.training_targets.add(
                self.correcting.learn_clicks, self._on_clicks_learned, "clicks"
            )

    def _on_clicks_learned(self, found: Any) -> None:
        if found is not None:
            self.correcting.use(*found)
            self.learn_form.ask_again()

    def _on_object_learned(self, found: Any) -> None:
        self.correcting.learned(*found)

    def _on_start_toggled(self, on: bool) -> None:
        self._mouse.set_enabled(on)
        self.controller.layers.set_outline_user(self, on)
        self._keys.set_enabled(on)
        if not on:
            self.correcting.drop()
        self._refresh()

    def _on_session_segmented(self, *_: Any) -> None:
        segmented = self.controller.session.segmented
        if segmented is not self.correcting.segmented:
            self.correcting.open(segmented)
        if segmented is None:
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
            self.layer_box.addItems([*names, NEW])
            if before in (*names, NEW):
                self.layer_box.setCurrentText(before)

    def _refresh(self, *_: Any) -> None:
        correcting = self.correcting
        ready = correcting.segmented is not None
        held = correcting.mask
        self.start_button.setEnabled(ready)
        self.next_button.setEnabled(ready)
        self.accept_button.setEnabled(held is not None and bool(held.any()))
        self.skip_button.setEnabled(correcting.state is not None)
        self.undo_button.setEnabled(correcting.can_undo)
        self.redo_button.setEnabled(correcting.can_redo)
        self.message.setText(self._advice())
        if self.start_button.isChecked():
            self.controller.layers.outline(held)
        elif held is None and ready:
            self.controller.layers.outline(None)

    def _advice(self) -> str:
        if self.correcting.segmented is None:
            return f"First press <i>Segment</i> in the {link('Segment')} panel."
        if not self.start_button.isChecked():
            return "Press the button, then click on an object that is wrong or missing."
        if self.correcting.state is None:
            return HELP
        what = f"Object {self.correcting.label}" if self.correcting.label else "New object"
        return f"<b>{what}</b>, {len(self.correcting.clicks)} clicks. {HELP}"

    def _look_at(self, mask: Any) -> None:
        viewer, layer = self.viewer(), self.controller.layers.visible_layer(OUTLINE_NAME)
        if viewer is None or layer is None:
            return
        middle = np.argwhere(mask).mean(axis=0)
        world = layer.data_to_world((*[0] * (layer.ndim - 2), *middle))
        camera = getattr(viewer, "scene", viewer).camera  # it moved in napari 0.9
        camera.center = (0.0, *world[-2:])

    def hideEvent(self, event: Any) -> None:
        """Stop listening to clicks where nobody sees the answer."""
        super().hideEvent(event)
        self.start_button.setChecked(False)


def _run(work: Any, *arguments: Any) -> Any:
    states = work(*arguments)
    while True:
        try:
            next(states)
        except StopIteration as end:
            return end.value
