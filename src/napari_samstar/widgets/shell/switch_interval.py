"""How long a busy thread keeps the window from the interpreter."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

TURN = 0.0005  # s; Python's own is ten times as long

_lock = threading.Lock()
_inside = 0
_before = 0.0


@contextmanager
def short_switch_interval() -> Iterator[None]:
    """Let threads give the interpreter away soon while the block runs.

    Qt calls Python hundreds of times to lay out and draw a panel, and each time the window waits
    for its turn.
    """
    global _inside, _before
    with _lock:
        if _inside == 0:
            _before = sys.getswitchinterval()
            sys.setswitchinterval(min(TURN, _before))
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                sys.setswitchinterval(_before)
