"""The one widget that napari opens: the pages of the plugin, one at a time.

This module must import quickly, and nothing in it may block the window.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import (
    QHBoxLayout,
    QSizePolicy,
    QStackedWidget,
    QTabBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_samstar.widgets.shell.docking import PANEL_OBJECT_NAME
from napari_samstar.widgets.shell.refit import refit_later
from napari_samstar.widgets.shell.settings_line import SettingsLine
from napari_samstar.widgets.shell.shells import SHELLS, Shell

if TYPE_CHECKING:
    import napari

WIDTH, HEIGHT = 350, 460  # px; at 1280 x 720 the image keeps most of the window

TABS_STYLE = "QTabBar::tab { padding: 4px 5px; margin: 0px; }"


class SamstarDock(QWidget):
    """Tabs, and the page of the chosen one. A page can be torn out into a dock of its own.

    Attributes
    ----------
    pages : dict of str to Shell
        The pages that were opened so far, by the name that links use.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.setObjectName(PANEL_OBJECT_NAME)
        viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._viewer = weakref.ref(viewer)
        self.pages: dict[str, Shell] = {}
        self._torn: dict[str, Any] = {}
        self.tabs = QTabBar()
        self.tabs.setExpanding(False)
        self.tabs.setUsesScrollButtons(False)
        self.tabs.setElideMode(Qt.TextElideMode.ElideNone)
        self.tabs.setDrawBase(False)
        self.tabs.setStyleSheet(TABS_STYLE)
        for kind in SHELLS:
            index = self.tabs.addTab(kind.TAB)
            self.tabs.setTabToolTip(index, kind.TIP)
        self.tear_button = QToolButton()
        self.tear_button.setText("↗")
        self.tear_button.setAutoRaise(True)
        self.tear_button.setToolTip("Move this page into a dock of its own; closing it returns it.")
        self.tear_button.clicked.connect(self.tear_out)
        self.stack = QStackedWidget()
        self.stack.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        top = QHBoxLayout()
        top.setContentsMargins(4, 2, 2, 0)
        top.setSpacing(0)
        top.addWidget(self.tabs, 1)
        top.addWidget(self.tear_button)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addLayout(top)
        whole.addWidget(self.stack, 1)
        # With another policy napari fills the dock's height with a stretch of its own.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.settings_line: SettingsLine | None = None
        self.tabs.currentChanged.connect(self._on_tab)
        self._on_tab(0)
        refit_later(viewer)

    def sizeHint(self) -> QSize:
        """Return a width that leaves a small screen to the image."""
        return QSize(WIDTH, HEIGHT)

    def minimumSizeHint(self) -> QSize:
        """Return the least size at which all tabs are readable."""
        return QSize(WIDTH - 20, 200)

    @property
    def panel(self) -> Any:
        """The panel on show, None until it is built."""
        page = self.pages.get(SHELLS[self.tabs.currentIndex()].NAME)
        return None if page is None else page.panel

    def finish(self) -> Any:
        """Build the panel on show now, and return it: for scripts, which cannot wait."""
        return self.page(SHELLS[self.tabs.currentIndex()].NAME).finish()

    def page(self, name: str) -> Shell:
        """Return a page, which is begun if it was not opened before."""
        if name not in self.pages:
            viewer = self._viewer()
            assert viewer is not None
            kind = next(kind for kind in SHELLS if name == kind.NAME)
            self.pages[name] = kind(viewer)
            self.stack.addWidget(self.pages[name])
            self.pages[name].built.connect(self._add_settings_line)
        return self.pages[name]

    def show_page(self, name: str) -> Shell:
        """Show a page, and return its shell; a torn-out one is raised where it is."""
        torn = self._torn.get(name)
        if torn is not None:
            torn.show()
            torn.raise_()
            return self.page(name)
        index = next(k for k, kind in enumerate(SHELLS) if name == kind.NAME)
        self.tabs.setCurrentIndex(index)
        return self.page(name)

    def _on_tab(self, index: int) -> None:
        name = SHELLS[index].NAME
        if name in self._torn:
            self.show_page(name)
            return
        self.stack.setCurrentWidget(self.page(name))

    def _add_settings_line(self) -> None:
        """Add the line once a page is built: by then all that it needs is imported."""
        panel = self.panel
        layout = self.layout()
        if self.settings_line is None and panel is not None and layout is not None:
            self.settings_line = SettingsLine(panel.controller.session, self._show_defaults)
            layout.addWidget(self.settings_line)

    def _show_defaults(self) -> None:
        self.page("Segment").finish().settings.show_defaults()

    # --- pages in docks of their own ----------------------------------------------------------

    def tear_out(self) -> None:
        """Move the page on show into a dock of its own."""
        name, viewer = SHELLS[self.tabs.currentIndex()].NAME, self._viewer()
        if viewer is None or name in self._torn:
            return
        holder = QWidget()
        holder.setObjectName(PANEL_OBJECT_NAME)
        holder.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        inside = QVBoxLayout(holder)
        inside.setContentsMargins(0, 0, 0, 0)
        page = self.page(name)
        self.stack.removeWidget(page)
        inside.addWidget(page)
        page.show()
        dock = viewer.window.add_dock_widget(holder, name=name, area="right")
        self._torn[name] = dock
        dock.installEventFilter(self)
        # napari's own close button deletes what the dock holds without closing it.
        dock.destroyOnClose = partial(self._close_torn, name)
        left = [k for k, kind in enumerate(SHELLS) if kind.NAME not in self._torn]
        self.tabs.setTabText(self.tabs.currentIndex(), f"{SHELLS[self.tabs.currentIndex()].TAB} ↗")
        if left:
            self.tabs.setCurrentIndex(left[0])

    def _close_torn(self, name: str) -> None:
        dock, viewer = self._torn.get(name), self._viewer()
        self.put_back(name)
        if dock is not None and viewer is not None:
            viewer.window.remove_dock_widget(dock)

    def put_back(self, name: str) -> None:
        """Return a torn-out page to the tabs."""
        dock = self._torn.pop(name, None)
        if dock is None:
            return
        index = next(k for k, kind in enumerate(SHELLS) if name == kind.NAME)
        self.tabs.setTabText(index, SHELLS[index].TAB)
        self.stack.addWidget(self.pages[name])
        self.tabs.setCurrentIndex(index)
        self._on_tab(index)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Take a page back before its dock closes, which would delete it."""
        if event is not None and event.type() == QEvent.Type.Close:
            for name, dock in list(self._torn.items()):
                if dock is watched:
                    self.put_back(name)
        return bool(super().eventFilter(watched, event))
