"""Short tasks off the GUI thread, one after another, in parallel with the long jobs."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from napari.utils.notifications import show_error
from psygnal import Signal

from napari_samstar.core.errors import UserError
from napari_samstar.widgets.jobs.workers import make_worker

log = logging.getLogger("napari_samstar")


@dataclass(frozen=True, eq=False)
class Task:
    """A function to call on a thread, and what to do with its result.

    Attributes
    ----------
    work : callable
        Called on the thread.
    done : callable
        Called with the result on the GUI thread.
    kind : str
        A newer task of the same kind replaces one that still waits; empty: none replaces it.
    """

    work: Callable[[], Any]
    done: Callable[[Any], None]
    kind: str = ""


class TaskQueue:
    """Runs tasks in order; `changed` is emitted with whether any is left.

    Separate from `Jobs`, because a click must neither wait for a search nor stop it.
    """

    changed = Signal(bool)

    def __init__(self) -> None:
        self._waiting: deque[Task] = deque()
        self._running: Any = None

    @property
    def busy(self) -> bool:
        """Whether a task runs or waits."""
        return self._running is not None or bool(self._waiting)

    def add(self, work: Callable[[], Any], done: Callable[[Any], None], kind: str = "") -> None:
        """Append a task, see `Task`."""
        if kind:
            self._waiting = deque(t for t in self._waiting if t.kind != kind)
        self._waiting.append(Task(work, done, kind))
        if self._running is None:
            self._start_next()

    def clear(self) -> None:
        """Remove the tasks that wait; the one that runs continues."""
        self._waiting.clear()

    def _start_next(self) -> None:
        task = self._waiting.popleft()
        worker = make_worker(_catch_error, task.work)
        self._running = (worker, task)
        worker.returned.connect(self._on_returned)
        worker.finished.connect(self._on_finished)
        self.changed.emit(True)
        worker.start()

    def _on_returned(self, outcome: tuple[Any, Exception | None]) -> None:
        result, error = outcome
        if error is None:
            self._running[1].done(result)
        elif isinstance(error, UserError):
            show_error(str(error))
        else:
            log.error("a task failed", exc_info=error)
            show_error(f"Correcting failed ({type(error).__name__}: {error}): please report it.")

    def _on_finished(self) -> None:
        self._running = None
        if self._waiting:
            self._start_next()
        else:
            self.changed.emit(False)


def _catch_error(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """Return (result, None) or (None, error): napari would show a traceback of a raised error."""
    try:
        return work(), None
    except Exception as error:
        return None, error
