"""A row that saves the clicks on the current object and offers them after a restart."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_samstar.core.errors import UserError
from napari_samstar.core.interactive import unfinished
from napari_samstar.core.interactive.unfinished import UnfinishedObject
from napari_samstar.widgets.forms.buttons import button
from napari_samstar.widgets.forms.shared import note
from napari_samstar.widgets.viewer.autosave_tasks import EXECUTOR, BackgroundTasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_samstar.app.correcting import CorrectionController
    from napari_samstar.widgets.panel import Panel


class UnfinishedRow(QWidget):
    """Offers to continue an object that was neither accepted nor skipped.

    Parameters
    ----------
    panel : Panel
    correction : CorrectionController
    layer_name : callable
        Returns the name of the layer that holds the current object.
    on_resume : callable
        Called with the `UnfinishedObject` to continue.
    """

    def __init__(
        self,
        panel: Panel,
        correction: CorrectionController,
        layer_name: Callable[[], str],
        on_resume: Callable[[UnfinishedObject], None],
    ) -> None:
        super().__init__()
        self._correction, self._layer_name, self._on_resume = correction, layer_name, on_resume
        self._background = BackgroundTasks()
        self._unfinished: UnfinishedObject | None = None
        self._image_key = ""
        self._last_warning = ""
        self.text = note()
        self.button = button("Continue it", "Restore its clicks.", self.resume)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.text, 1)
        line.addWidget(self.button)
        panel.listen(correction.changed, self.refresh)
        self.refresh()

    def delete(self) -> None:
        """Delete the saved clicks: the object was accepted or skipped."""
        if self._image_key:
            EXECUTOR.submit(unfinished.delete, self._image_key)
        self._unfinished = None
        self.refresh()

    def resume(self) -> None:
        """Continue the saved object."""
        if self._unfinished is not None:
            self._on_resume(self._unfinished)

    def refresh(self, *_: Any) -> None:
        """Save the clicks on the current object; without one, offer the saved clicks."""
        result = self._correction.result
        image_key = "" if result is None else result.image.key
        if image_key != self._image_key:
            self._image_key = image_key
            self._unfinished = unfinished.load(image_key) if image_key else None
        self._save_changes()
        idle = self._correction.state is None
        self.setVisible(self._unfinished is not None and idle)
        if self._unfinished is not None and idle:
            self.text.setText(_description(self._unfinished))

    def _save_changes(self) -> None:
        correction, before = self._correction, self._unfinished
        states, window = correction.states, correction.window
        if not states or window is None:
            return
        now = UnfinishedObject.from_states(states, window, correction.label, self._layer_name())
        if before is None or now.prompts != before.prompts or now.label != before.label:
            self._unfinished = now
            self._background.submit(partial(_save, self._image_key, now), self._on_saved)

    def _on_saved(self, problem: str) -> None:
        if problem and problem != self._last_warning:
            show_warning(problem)
        self._last_warning = problem


def _description(saved: UnfinishedObject) -> str:
    what = f"object {saved.label} of <i>{saved.layer}</i>" if saved.label else "a new object"
    noun = "click" if saved.n_clicks == 1 else "clicks"
    when = ""
    if saved.when:
        when = f", {datetime.fromisoformat(saved.when).astimezone():%d %b %Y, %H:%M}"
    return f"Unfinished: {what}, {saved.n_clicks} {noun}{when}."


def _save(image_key: str, saved: UnfinishedObject) -> str:
    """Write the clicks; returns a message for the user, empty if all went well."""
    try:
        unfinished.save(image_key, saved)
    except UserError as error:
        return str(error)
    return ""
