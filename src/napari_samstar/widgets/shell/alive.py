"""Calls to Qt objects that may have been deleted."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from qtpy.compat import isalive


def call_if_alive(method: Callable[..., Any]) -> Callable[..., None]:
    """Return a function that calls a widget's method, and does nothing once Qt has deleted it.

    The function keeps no reference to the widget.
    """
    reference = weakref.ref(method.__self__)  # type: ignore[attr-defined]
    name = method.__name__

    def forward(*arguments: Any) -> None:
        widget = reference()
        if widget is not None and isalive(widget):
            getattr(widget, name)(*arguments)

    return forward
