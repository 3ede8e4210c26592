"""Imports on a background thread, so that the window stays responsive.

The thread gives up when the program ends.
"""

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

POLL_INTERVAL = 0.005  # s between two checks whether paused imports may continue

Task = tuple[Callable[[], Any], threading.Event]

_lock = threading.Lock()
_waiting: deque[Task] = deque()
_done_events: dict[str, threading.Event] = {}  # of every module requested so far, by its name
_thread: threading.Thread | None = None
_paused_until = 0.0  # time.monotonic()


class ImportCancelled(BaseException):
    """Raised inside an import when the program ends. Importing code must not catch it."""


def import_in_background(
    names: Sequence[str], first: Callable[[], Any] | None = None
) -> threading.Event:
    """Import modules in this order on the import thread, after those requested before.

    There is one thread only: more would compete with the window for the interpreter.

    Parameters
    ----------
    names : sequence of str
        Modules.
    first : callable, optional
        Called on the thread before the imports.

    Returns
    -------
    threading.Event
        Set when the last module was imported or has failed. After a failure, a normal import of
        the module raises the error.
    """
    global _thread
    with _lock:
        new = [name for name in names if name not in _done_events]
        if first is not None and new:
            _waiting.append((first, threading.Event()))
        for name in new:
            _done_events[name] = threading.Event()
            _waiting.append((partial(importlib.import_module, name), _done_events[name]))
        if _waiting and _thread is None:
            # Not a daemon: a process that exits during an import of torch may crash.
            _thread = threading.Thread(target=_run_tasks, name="samstar-import")
            _thread.start()
        return _done_events[names[-1]]


def pause_imports(seconds: float) -> None:
    """Pause the import thread at its next module, to leave the interpreter to the window.

    It continues by itself, so a window that waits for an import is never blocked for good.
    """
    global _paused_until
    _paused_until = time.monotonic() + seconds


def is_shutting_down() -> bool:
    """Return whether the main thread has ended and Python only waits for the other threads."""
    return not threading.main_thread().is_alive()


def _run_tasks() -> None:
    hook = _PauseHook(threading.current_thread())
    sys.meta_path.insert(0, hook)
    try:
        with gc_paused(), short_switch_interval():
            while (task := _next_task()) is not None:
                work, done = task
                _run_logged(work)
                done.set()
    except ImportCancelled:
        log.debug("an import was cancelled because the program ends")
        for done in _done_events.values():  # threads that wait must not keep the program alive
            done.set()
    finally:
        sys.meta_path.remove(hook)


def _next_task() -> Task | None:
    global _thread
    with _lock:
        if _waiting:
            return _waiting.popleft()
        _thread = None
        return None


def _run_logged(work: Callable[[], Any]) -> None:
    try:
        work()
    except Exception as error:
        if is_shutting_down():  # neither threads nor exit handlers can be registered any more
            log.debug("an import failed while the program ended: %s", error)
        else:
            log.exception("a module that the panels need cannot be imported")


class _PauseHook:
    """A finder on `sys.meta_path` that finds nothing: it pauses and cancels the imports."""

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread

    def find_spec(self, *_: Any) -> None:
        """Find nothing."""
        if threading.current_thread() is not self._thread:
            return
        while time.monotonic() < _paused_until and not is_shutting_down():
            time.sleep(POLL_INTERVAL)
        if is_shutting_down():
            raise ImportCancelled
