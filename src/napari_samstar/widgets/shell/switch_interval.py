"""How long a busy thread may hold the interpreter while the window waits."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SWITCH_INTERVAL = 0.0005  # s; Python's default is ten times as long

_lock = threading.Lock()
_active_blocks = 0
_default = 0.0  # s, the interval outside of all blocks


@contextmanager
def short_switch_interval() -> Iterator[None]:
    """Let threads release the interpreter sooner in the block; blocks of several threads may nest.

    Qt calls Python hundreds of times to lay out and draw a panel, and each call may have to wait
    for one interval.
    """
    global _active_blocks, _default
    with _lock:
        if _active_blocks == 0:
            _default = sys.getswitchinterval()
            sys.setswitchinterval(min(SWITCH_INTERVAL, _default))
        _active_blocks += 1
    try:
        yield
    finally:
        with _lock:
            _active_blocks -= 1
            if _active_blocks == 0:
                sys.setswitchinterval(_default)
