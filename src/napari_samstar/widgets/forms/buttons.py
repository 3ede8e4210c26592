"""Buttons and collapsible sections that look the same in all panels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QPushButton, QSizePolicy, QWidget
from superqt import QCollapsible

LEAST_WIDTH = 44  # px, of a button that shares a row


def button(text: str, tip: str, on_clicked: Callable[[], Any]) -> QPushButton:
    """Return a button that calls `on_clicked` without arguments."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.clicked.connect(lambda: on_clicked())
    return made


def share_width(*buttons: QPushButton) -> None:
    """Let buttons of one row share its width, whatever their texts ask for."""
    for each in buttons:
        policy = each.sizePolicy()
        policy.setHorizontalPolicy(QSizePolicy.Policy.Ignored)
        each.setSizePolicy(policy)
        each.setMinimumWidth(LEAST_WIDTH)


class CollapsibleSection(QCollapsible):
    """A section with a title, collapsed at first.

    Its content is hidden while it is collapsed, because napari's style sheet takes long for every
    visible widget.
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
        """Expand it."""
        self.content().show()
        super().expand(animate)

    def collapse(self, animate: bool = True) -> None:
        """Collapse it, always without animation."""
        super().collapse(animate=False)
        self.content().hide()
