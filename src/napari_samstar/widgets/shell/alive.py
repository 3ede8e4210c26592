"""Calls to Qt objects that may be gone by then."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from qtpy.compat import isalive


def call_if_alive(method: Callable[..., Any]) -> Callable[..., None]:
    """Return a function that calls a widget's method, and does nothing once Qt deleted it."""
    me = weakref.ref(method.__self__)  # type: ignore[attr-defined]
    name = method.__name__

    def forward(*arguments: Any) -> None:
        part = me()
        if part is not None and isalive(part):
            getattr(part, name)(*arguments)

    return forward
