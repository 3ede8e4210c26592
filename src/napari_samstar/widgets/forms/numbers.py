"""Number fields that accept both a point and a comma as decimal separator.

Qt takes the separator that is not the locale's as one between thousands and ignores it. Then "1,5"
(or "1.5") is read as 15, and a search silently uses ten times the true length.
"""

from __future__ import annotations

from functools import cache

from qtpy.QtCore import QEvent, QLocale, QObject, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QApplication, QDoubleSpinBox, QLineEdit, QWidget

LOCALE = QLocale.c()
LOCALE.setNumberOptions(
    QLocale.NumberOption.RejectGroupSeparator | QLocale.NumberOption.OmitGroupSeparator
)


def accept_decimal_comma(widget: QWidget) -> None:
    """Make all number fields in `widget`, and `widget` itself, accept point and comma."""
    fields = [x for kind in (QDoubleSpinBox, QLineEdit) for x in widget.findChildren(kind)]
    for field in (widget, *fields):
        field.setLocale(LOCALE)
        validator = field.validator() if isinstance(field, QLineEdit) else None
        if validator is not None:
            validator.setLocale(LOCALE)
        field.installEventFilter(_comma_filter())


class _CommaFilter(QObject):
    """Replaces a typed comma by a point."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Replace the key event of a comma."""
        if isinstance(event, QKeyEvent) and event.text() == ",":
            point = QKeyEvent(event.type(), Qt.Key.Key_Period, event.modifiers(), ".")
            QApplication.sendEvent(watched, point)
            return True
        return bool(super().eventFilter(watched, event))


@cache
def _comma_filter() -> _CommaFilter:
    """Return the one filter of all fields; without a parent, Qt does not delete it."""
    return _CommaFilter()
