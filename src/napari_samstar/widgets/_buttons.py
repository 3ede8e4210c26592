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


def drawer(title: str, tip: str, content: QWidget) -> QCollapsible:
    """Return a closed drawer; its arrow points to the right while it is closed."""
    made = QCollapsible(title, expandedIcon="▾", collapsedIcon="▸")
    made.setToolTip(tip)
    made.addWidget(content)
    layout = made.layout()
    if layout is not None:
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
    return made
