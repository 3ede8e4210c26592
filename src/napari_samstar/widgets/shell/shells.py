"""What napari opens as a panel: at once there, while the panel itself is imported and built.

This module imports nothing that takes time, and nothing here may hold the window up.
"""

from __future__ import annotations

import importlib
import logging
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_samstar.widgets.forms.shared import error_html
from napari_samstar.widgets.shell.alive import call_if_alive
from napari_samstar.widgets.shell.docking import PANEL_OBJECT_NAME, parent_dock, tabify_with_panels
from napari_samstar.widgets.shell.importing import import_in_background, pause_imports

if TYPE_CHECKING:
    import napari

    from napari_samstar.widgets.panel import Panel

log = logging.getLogger("napari_samstar")

PACKAGE = "napari_samstar.widgets.panels"
LOOK = 15  # ms between two looks whether the import is done
REST = 0.2  # s in which imports give way to the window
ROOM = QSize(370, 420)  # px, about what the panels will ask for: the canvas is resized once


class Shell(QWidget):
    """Stands in a dock; builds its panel step by step, each step a turn of the event loop.

    Attributes
    ----------
    panel : Panel, optional
        Once it is on show.
    """

    MODULE: ClassVar[str]
    PANEL: ClassVar[str]

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.setObjectName(PANEL_OBJECT_NAME)
        self.panel: Any = None
        self._viewer = weakref.ref(getattr(napari_viewer, "__wrapped__", napari_viewer))
        self._made: Panel | None = None
        self._steps: tuple[Callable[[], None], ...] = ()
        self._placed = False
        self._message = QLabel("Opening…")
        self._message.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._message.setWordWrap(True)
        # Else napari fills the dock's height with a stretch of its own.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._message)
        self._module = f"{PACKAGE}.{self.MODULE}"
        self._ready = _import_panels(self._module)
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK)
        self._timer.timeout.connect(self._look)
        self._timer.start()

    def finish(self) -> Any:
        """Return the panel, built now if it is not there: for scripts, which cannot wait."""
        self._ready.wait()
        self._build()
        self._insert()
        self._show()
        return self.panel

    def sizeHint(self) -> QSize:
        """Return what the panel wants, or room for it before it is there."""
        return ROOM if self.panel is None else self.panel.sizeHint()

    def showEvent(self, event: Any) -> None:
        """Go to the place of the other panels at once, before there is much to lay out."""
        super().showEvent(event)
        if not self._placed:
            self._placed = True
            QTimer.singleShot(0, call_if_alive(self._tabify))

    def _tabify(self) -> None:
        dock = parent_dock(self)
        if dock is not None:
            tabify_with_panels(dock)

    def _look(self) -> None:
        if self._ready.is_set():
            self._timer.stop()
            self._go_on((self._build, self._insert, self._show))

    def _go_on(self, steps: tuple[Callable[[], None], ...]) -> None:
        """Take one step, and the others in later turns: each is a pause that nobody notices."""
        pause_imports(REST)
        steps[0]()
        self._steps = steps[1:]
        if self._steps:
            # Not 0: Qt takes such steps all at once.
            QTimer.singleShot(1, call_if_alive(self._next_step))

    def _next_step(self) -> None:
        self._go_on(self._steps)

    def _build(self) -> None:
        viewer = self._viewer()
        if viewer is None or self._made is not None:
            return
        try:
            kind = getattr(importlib.import_module(self._module), self.PANEL)
            self._made = kind(viewer)
        except Exception as error:
            log.exception("a panel cannot be opened")
            self._message.setText(
                error_html(
                    f"This panel cannot be opened ({type(error).__name__}: {error}). "
                    "Please report it with the log."
                )
            )

    def _insert(self) -> None:
        """Give the panel its place, where napari's style sheet is laid on it."""
        column = self.layout()
        if self._made is not None and self._made.parent() is None and column is not None:
            self._made.hide()
            column.addWidget(self._made)

    def _show(self) -> None:
        if self._made is not None and self.panel is None:
            self.panel = self._made
            self._message.hide()
            self.panel.show()


class SegmentShell(Shell):
    """The dock of the Segment panel."""

    MODULE, PANEL = "segment.panel", "SegmentPanel"


class TuneShell(Shell):
    """The dock of the Tune panel."""

    MODULE, PANEL = "tune.panel", "TunePanel"


class FrontShell(Shell):
    """The dock of the Pareto front panel."""

    MODULE, PANEL = "front.panel", "FrontPanel"


class CorrectShell(Shell):
    """The dock of the Correct panel."""

    MODULE, PANEL = "correct.panel", "CorrectPanel"


class WhyShell(Shell):
    """The dock of the panel that says why an object is missing."""

    MODULE, PANEL = "why.panel", "WhyPanel"


class ResultsShell(Shell):
    """The dock of the Results panel."""

    MODULE, PANEL = "results.panel", "ResultsPanel"


SHELLS = (SegmentShell, TuneShell, FrontShell, CorrectShell, WhyShell, ResultsShell)


def _import_panels(first: str) -> threading.Event:
    """Import a panel's module on a thread, and then those of the others, which come next."""
    ready = import_in_background((first,))
    import_in_background(tuple(f"{PACKAGE}.{kind.MODULE}" for kind in SHELLS))
    return ready
