"""The clicks on the object in hand: written while one clicks, offered when one comes back."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_samstar.core.errors import UserError
from napari_samstar.core.interactive import unfinished
from napari_samstar.core.interactive.unfinished import Unfinished
from napari_samstar.widgets.forms.buttons import button
from napari_samstar.widgets.forms.shared import note
from napari_samstar.widgets.viewer.autosave_tasks import EXECUTOR, BackgroundTasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_samstar.app.correcting import Correcting
    from napari_samstar.widgets.panel import Panel


class UnfinishedRow(QWidget):
    """Offers to go on with an object that was neither accepted nor put away.

    Parameters
    ----------
    panel : Panel
    correcting : Correcting
    layer_name : callable
        Returns the name of the layer that holds the object in hand.
    go_on : callable
        Is given the `Unfinished` to go on with.
    """

    def __init__(
        self,
        panel: Panel,
        correcting: Correcting,
        layer_name: Callable[[], str],
        go_on: Callable[[Unfinished], None],
    ) -> None:
        super().__init__()
        self._correcting, self._layer_name, self._take_up = correcting, layer_name, go_on
        self._background = BackgroundTasks()
        self._left: Unfinished | None = None
        self._of = ""
        self._said = ""
        self.text = note()
        self.button = button("Go on with it", "Click again what was clicked.", self.go_on)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.text, 1)
        line.addWidget(self.button)
        panel.listen(correcting.changed, self.refresh)
        self.refresh()

    def forget(self) -> None:
        """Forget the clicks: the object was accepted or put away."""
        if self._of:
            EXECUTOR.submit(unfinished.forget, self._of)
        self._left = None
        self.refresh()

    def go_on(self) -> None:
        """Take the object up again."""
        if self._left is not None:
            self._take_up(self._left)

    def refresh(self, *_: Any) -> None:
        """Write the clicks in hand; where nothing is in hand, offer those that were left."""
        segmented = self._correcting.segmented
        image = "" if segmented is None else segmented.image.key
        if image != self._of:
            self._of = image
            self._left = unfinished.find(image) if image else None
        self._note_steps()
        idle = self._correcting.state is None
        self.setVisible(self._left is not None and idle)
        if self._left is not None and idle:
            self.text.setText(_sentence(self._left))

    def _note_steps(self) -> None:
        states, before = self._correcting.states, self._left
        if not states:
            return
        now = Unfinished.of(states, self._correcting.label, self._layer_name())
        if before is None or now.prompts != before.prompts or now.label != before.label:
            self._left = now
            self._background.submit(partial(_keep, self._of, now), self._on_kept)

    def _on_kept(self, problem: str) -> None:
        if problem and problem != self._said:
            show_warning(problem)
        self._said = problem


def _sentence(left: Unfinished) -> str:
    what = f"object {left.label} of <i>{left.layer}</i>" if left.label else "a new object"
    noun = "click" if left.clicks == 1 else "clicks"
    when = ""
    if left.when:
        when = f", {datetime.fromisoformat(left.when).astimezone():%d %b %Y, %H:%M}"
    return f"You had begun {what}: {left.clicks} {noun}{when}."


def _keep(key: str, now: Unfinished) -> str:
    try:
        unfinished.keep(key, now)
    except UserError as error:
        return str(error)
    return ""
