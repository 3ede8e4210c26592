"""Fields for numbers, where a comma is a decimal point.

Qt takes the mark that is not the locale's for one between thousands and leaves it out: "1,5" then
is 15, or "1.5" is, and a length of ten times the true one goes into a search unseen.
"""

from __future__ import annotations

from functools import cache

from qtpy.QtCore import QEvent, QLocale, QObject, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QApplication, QDoubleSpinBox, QLineEdit, QWidget

PLAIN = QLocale.c()
PLAIN.setNumberOptions(
    QLocale.NumberOption.RejectGroupSeparator | QLocale.NumberOption.OmitGroupSeparator
)


def accept_decimal_comma(widget: QWidget) -> None:
    """Let all fields for numbers in `widget`, itself included, take both marks for the point."""
    fields = [x for kind in (QDoubleSpinBox, QLineEdit) for x in widget.findChildren(kind)]
    for field in (widget, *fields):
        field.setLocale(PLAIN)
        validator = field.validator() if isinstance(field, QLineEdit) else None
        if validator is not None:
            validator.setLocale(PLAIN)
        field.installEventFilter(_point_for_comma())


class _PointForComma(QObject):
    """Types a point where the user types a comma."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Replace the key."""
        if isinstance(event, QKeyEvent) and event.text() == ",":
            point = QKeyEvent(event.type(), Qt.Key.Key_Period, event.modifiers(), ".")
            QApplication.sendEvent(watched, point)
            return True
        return bool(super().eventFilter(watched, event))


@cache
def _point_for_comma() -> _PointForComma:
    """Return the one filter; one with a field for parent would lose its Python half with it."""
    return _PointForComma()
