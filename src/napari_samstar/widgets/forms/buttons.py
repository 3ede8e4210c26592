"""Buttons and drawers that look alike in all panels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QPushButton, QWidget
from superqt import QCollapsible


def button(text: str, tip: str, pressed: Callable[[], Any]) -> QPushButton:
    """Return a button that calls `pressed` without arguments."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.clicked.connect(lambda: pressed())
    return made


class CollapsibleSection(QCollapsible):
    """A section that is closed at first; its arrow points to the right while it is.

    What is in it is hidden while it is closed: napari's style sheet takes long for each widget
    that can be seen.
    """

    def __init__(self, title: str, tip: str, content: QWidget) -> None:
        super().__init__(title, expandedIcon="▾", collapsedIcon="▸")
        self.setToolTip(tip)
        self.addWidget(content)
        self.content().hide()
        layout = self.layout()
        if layout is not None:
            layout.setContentsMargins(0, 0, 0, 0)
            layout.setSpacing(2)

    def expand(self, animate: bool = True) -> None:
        """Open it."""
        self.content().show()
        super().expand(animate)

    def collapse(self, animate: bool = True) -> None:
        """Close it, at once."""
        super().collapse(animate=False)
        self.content().hide()
