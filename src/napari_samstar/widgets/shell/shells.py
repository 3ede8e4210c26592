"""The pages of the dock: at once on screen, and the panel of a page follows when it is built.

This module must import quickly, and nothing in it may block the window.
"""

from __future__ import annotations

import importlib
import logging
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtCore import QSize, Qt, QTimer, Signal
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_samstar.widgets.shell.alive import call_if_alive
from napari_samstar.widgets.shell.colours import ERROR_COLOUR
from napari_samstar.widgets.shell.docking import PANEL_OBJECT_NAME
from napari_samstar.widgets.shell.importing import import_in_background, pause_imports

if TYPE_CHECKING:
    import napari

log = logging.getLogger("napari_samstar")

PANELS_PACKAGE = "napari_samstar.widgets.panels"
POLL_INTERVAL = 15  # ms between two checks whether the import is done
IMPORT_PAUSE = 0.2  # s during which imports leave the interpreter to the window
INITIAL_SIZE = QSize(340, 420)  # px, about that of a panel, so that the canvas resizes only once


class Shell(QWidget):
    """A page that builds its panel in steps, each in a turn of the event loop of its own.

    `MODULE` and `PANEL` say where the panel is, `NAME` what links call it; `TAB` and `TIP` are its
    short name and what it is for.

    Attributes
    ----------
    panel : Panel, optional
        None until it is on screen.
    """

    MODULE: ClassVar[str]
    PANEL: ClassVar[str]
    NAME: ClassVar[str] = ""
    TAB: ClassVar[str] = ""
    TIP: ClassVar[str] = ""

    built = Signal()
    """Emitted once the panel is on screen."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.setObjectName(PANEL_OBJECT_NAME)
        self.panel: Any = None
        self._viewer = weakref.ref(getattr(napari_viewer, "__wrapped__", napari_viewer))
        self._built: QWidget | None = None
        self._steps: tuple[Callable[[], None], ...] = ()
        self._message = QLabel("Opening…")
        self._message.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._message.setWordWrap(True)
        # With another policy napari fills the dock's height with a stretch of its own.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._message)
        self._module = f"{PANELS_PACKAGE}.{self.MODULE}"
        self._imported = _import_panels(self._module)
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_INTERVAL)
        self._timer.timeout.connect(self._poll_import)
        self._timer.start()

    def finish(self) -> Any:
        """Build the panel now if it is not there, and return it: for scripts, which cannot wait."""
        self._imported.wait()
        self._build()
        self._insert()
        self._show()
        return self.panel

    def sizeHint(self) -> QSize:
        """Return the size that the panel needs, an estimate before it is there."""
        return INITIAL_SIZE if self.panel is None else self.panel.sizeHint()

    def _poll_import(self) -> None:
        if self._imported.is_set():
            self._timer.stop()
            self._run_steps((self._build, self._insert, self._show))

    def _run_steps(self, steps: tuple[Callable[[], None], ...]) -> None:
        """Run the first step now and each other in a later turn, so that no pause is noticed."""
        pause_imports(IMPORT_PAUSE)
        steps[0]()
        self._steps = steps[1:]
        if self._steps:
            # With 0 ms Qt would run all steps in one turn.
            QTimer.singleShot(1, call_if_alive(self._next_step))

    def _next_step(self) -> None:
        self._run_steps(self._steps)

    def _build(self) -> None:
        viewer = self._viewer()
        if viewer is None or self._built is not None:
            return
        try:
            kind = getattr(importlib.import_module(self._module), self.PANEL)
            self._built = kind(viewer)
        except Exception as error:
            log.exception("a panel cannot be opened")
            self._message.setStyleSheet(f"color: {ERROR_COLOUR}")
            self._message.setText(
                f"This panel cannot be opened ({type(error).__name__}: {error}). "
                "Please report it with the log."
            )

    def _insert(self) -> None:
        """Add the panel to the layout, which applies napari's style sheet to it."""
        column = self.layout()
        if self._built is not None and self._built.parent() is None and column is not None:
            self._built.hide()
            column.addWidget(self._built)

    def _show(self) -> None:
        if self._built is not None and self.panel is None:
            self.panel = self._built
            self._message.hide()
            self.panel.show()
            self.built.emit()


class SegmentShell(Shell):
    """The page of the Segment panel."""

    MODULE, PANEL = "segment.panel", "SegmentPanel"
    NAME, TAB = "Segment", "Segment"
    TIP = "Choose image, model and settings, and segment."


class TuneShell(Shell):
    """The page of the Tune panel."""

    MODULE, PANEL = "tune.panel", "TunePanel"
    NAME, TAB = "Tune", "Tune"
    TIP = "Say what matters; a search finds the settings."


class FrontShell(Shell):
    """The page of the Pareto front panel."""

    MODULE, PANEL = "front.panel", "FrontPanel"
    NAME, TAB = "Pareto front", "Front"
    TIP = "Pareto front: click a point to see its objects."


class CorrectShell(Shell):
    """The page of the Correct panel."""

    MODULE, PANEL = "correct.panel", "CorrectPanel"
    NAME, TAB = "Correct", "Correct"
    TIP = "Correct, add, delete, merge and split objects by clicks."


class WhyShell(Shell):
    """The page of the panel "Why is it missing?"."""

    MODULE, PANEL = "why.panel", "WhyPanel"
    NAME, TAB = "Why is it missing?", "Why?"
    TIP = "Why is it missing? Which settings reject an object, and how to get it."


class ResultsShell(Shell):
    """The page of the Results panel."""

    MODULE, PANEL = "results.panel", "ResultsPanel"
    NAME, TAB = "Results", "Results"
    TIP = "Measurements of the objects, histograms and export."


SHELLS = (SegmentShell, TuneShell, FrontShell, CorrectShell, WhyShell, ResultsShell)


def _import_panels(first: str) -> threading.Event:
    """Import a panel's module in the background, then those of the others; event of the first."""
    imported = import_in_background((first,))
    import_in_background(tuple(f"{PANELS_PACKAGE}.{shell.MODULE}" for shell in SHELLS))
    return imported
