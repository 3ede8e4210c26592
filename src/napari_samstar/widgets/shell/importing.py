"""Imports on a thread, so that the window lives on meanwhile; they end where the program does."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from napari_samstar.widgets.shell.garbage import gc_paused
from napari_samstar.widgets.shell.switch_interval import short_switch_interval

log = logging.getLogger("napari_samstar")

LOOK = 0.005  # s between two looks whether imports may go on

Step = tuple[Callable[[], Any], threading.Event]

_lock = threading.Lock()
_waiting: deque[Step] = deque()
_asked: dict[str, threading.Event] = {}
_thread: threading.Thread | None = None
_rest_until = 0.0


class ImportCancelled(BaseException):
    """An import is given up, because the program ends. Nobody who imports may catch it."""


def import_in_background(
    names: Sequence[str], first: Callable[[], Any] | None = None
) -> threading.Event:
    """Import modules on the thread, in this order, after all that it was asked for before.

    More threads than one would only fight with the window for the interpreter.

    Parameters
    ----------
    names : sequence of str
    first : callable, optional
        Called on the thread before.

    Returns
    -------
    threading.Event
        Set once the last one is there, or cannot be imported: whoever needs it then learns why.
    """
    global _thread
    with _lock:
        new = [name for name in names if name not in _asked]
        if first is not None and new:
            _waiting.append((first, threading.Event()))
        for name in new:
            _asked[name] = threading.Event()
            _waiting.append((partial(importlib.import_module, name), _asked[name]))
        if _waiting and _thread is None:
            # No daemon: a process that ends in the middle of an import of torch may crash.
            _thread = threading.Thread(target=_run, name="samstar-import")
            _thread.start()
        return _asked[names[-1]]


def pause_imports(seconds: float) -> None:
    """Let imports rest for so long, from their next module on: the window needs the interpreter.

    They go on by themselves: a window that waits for one of them is not held up for ever.
    """
    global _rest_until
    _rest_until = time.monotonic() + seconds


def is_shutting_down() -> bool:
    """Return whether the main thread has ended, so that Python waits for the other ones only."""
    return not threading.main_thread().is_alive()


def _run() -> None:
    watch = _Watch(threading.current_thread())
    sys.meta_path.insert(0, watch)
    try:
        with gc_paused(), short_switch_interval():
            while (step := _next_step()) is not None:
                work, done = step
                _guarded(work)
                done.set()
    except ImportCancelled:
        log.debug("an import was given up")
        for done in _asked.values():  # whoever waits must not keep the program from its end
            done.set()
    finally:
        sys.meta_path.remove(watch)


def _next_step() -> Step | None:
    global _thread
    with _lock:
        if _waiting:
            return _waiting.popleft()
        _thread = None
        return None


def _guarded(work: Callable[[], Any]) -> None:
    try:
        work()
    except Exception as error:
        if is_shutting_down():  # neither threads nor clean-ups can be registered any more
            log.debug("an import failed while the program ended: %s", error)
        else:
            log.exception("what the panels need cannot be imported")


class _Watch:
    """A finder that finds nothing; imports give way here, and are given up at the end."""

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread

    def find_spec(self, *_: Any) -> None:
        """Find nothing."""
        if threading.current_thread() is not self._thread:
            return
        while time.monotonic() < _rest_until and not is_shutting_down():
            time.sleep(LOOK)
        if is_shutting_down():
            raise ImportCancelled
