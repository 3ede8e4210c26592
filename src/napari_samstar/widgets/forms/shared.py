"""Labels, menus and layouts that look the same in all panels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QSizePolicy

from napari_samstar.widgets.shell.colours import ERROR_COLOUR, LINK_COLOUR


def note(text: str = "") -> QLabel:
    """Return a label that wraps and whose text can be selected."""
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
    """Return an HTML link that opens a panel, for a `note` given to `Panel.connect_links`."""
    return f"<a href='{panel}' style='color:{LINK_COLOUR}'>{text or panel}</a>"


def error_html(text: str) -> str:
    """Return HTML of an error message."""
    return f"<span style='color:{ERROR_COLOUR}'>{text}</span>"


def combo(tip: str, items: Iterable[str] = ()) -> QComboBox:
    """Return a combo box that long names do not widen."""
    box = QComboBox()
    narrow(box)
    box.addItems(list(items))
    box.setToolTip(tip)
    return box


def narrow(box: QComboBox) -> None:
    """Do not let long names widen a combo box."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)


def form() -> QFormLayout:
    """Return a compact form layout."""
    made = QFormLayout()
    made.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    made.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    made.setVerticalSpacing(4)
    return made


def shorten(name: str, most: int = 36) -> str:
    """Return `name`, with its middle left out if it has more than `most` characters."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"


def counted(n: int, noun: str) -> str:
    """Return a number and its noun, such as "1 object" or "3 objects"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def readable(value: float) -> str:
    """Return a number with four digits, without an exponent where people would write none."""
    if not np.isfinite(value) or (value and not 1e-3 <= abs(value) < 1e7):
        return f"{value:.4g}"
    digits = 0 if value == 0 else max(0, 3 - int(np.floor(np.log10(abs(value)))))
    text = f"{value:,.{min(digits, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
