"""Small parts that several panels use."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QSizePolicy

LINK = "#4fb0c6"
FAILURE = "#e0605a"


def note(text: str = "") -> QLabel:
    """Return a wrapping label in small, quiet type."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
    return label


def heading(text: str) -> QLabel:
    """Return a bold label."""
    label = QLabel(f"<b>{text}</b>")
    label.setContentsMargins(0, 6, 0, 0)
    return label


def link(panel: str, text: str = "") -> str:
    """Return HTML that opens another panel; for a `note` whose links `follow` handles."""
    return f"<a href='{panel}' style='color:{LINK}'>{text or panel}</a>"


def error_html(text: str) -> str:
    """Return HTML for something that went wrong."""
    return f"<span style='color:{FAILURE}'>{text}</span>"


def combo(tip: str, items: Iterable[str] = ()) -> QComboBox:
    """Return a menu that long names do not widen."""
    box = QComboBox()
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    box.addItems(list(items))
    box.setToolTip(tip)
    return box


def form() -> QFormLayout:
    """Return a compact form."""
    made = QFormLayout()
    made.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    made.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    made.setVerticalSpacing(4)
    return made


def shorten(name: str, most: int = 36) -> str:
    """Return `name` with its middle left out where it is too long."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"
