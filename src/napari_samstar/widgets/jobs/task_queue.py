"""Short pieces of work off the GUI thread, one after another, beside the long jobs."""

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
    """A function to call on a thread, and what becomes of its result on the GUI thread.

    Attributes
    ----------
    kind : str
        A waiting task gives way to a newer one of the same kind; empty: it never does.
    """

    work: Callable[[], Any]
    done: Callable[[Any], None]
    kind: str = ""


class TaskQueue:
    """Runs tasks in order; `changed` tells whether any is left.

    It is not `Jobs`: a click must neither wait for a search nor stop it.
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
        """Append a task."""
        if kind:
            self._waiting = deque(t for t in self._waiting if t.kind != kind)
        self._waiting.append(Task(work, done, kind))
        if self._running is None:
            self._begin()

    def clear(self) -> None:
        """Drop what waits; what runs ends."""
        self._waiting.clear()

    def _begin(self) -> None:
        task = self._waiting.popleft()
        worker = make_worker(_guarded, task.work)
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
            self._begin()
        else:
            self.changed.emit(False)


def _guarded(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """Return an exception instead of raising it: napari would show a traceback."""
    try:
        return work(), None
    except Exception as error:
        return None, error
