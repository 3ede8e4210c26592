"""Long jobs off the GUI thread: one at a time, and a new one stops the one before."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from psygnal import Signal

from napari_samstar.core import interrupt
from napari_samstar.core.errors import UserError
from napari_samstar.core.progress import Progress
from napari_samstar.widgets.jobs.workers import make_worker
from napari_samstar.widgets.shell.switch_interval import short_switch_interval

if TYPE_CHECKING:
    from napari.qt.threading import GeneratorWorker

log = logging.getLogger("napari_samstar")


@dataclass(frozen=True, eq=False)
class Job:
    """A generator function to run on a thread, and the receivers of what it yields and returns.

    Attributes
    ----------
    title : str
        Shown while it runs.
    work : callable
        Generator function. `Progress` that it yields is shown; all else goes to `on_step`.
    arguments : tuple
        Of `work`.
    on_step, on_result : callable, optional
        Called on the GUI thread. They must write to the session only, because panels may have
        been closed meanwhile.
    """

    title: str
    work: Callable[..., Generator[Any, None, Any]]
    arguments: tuple[Any, ...] = ()
    on_step: Callable[[Any], None] | None = None
    on_result: Callable[[Any], None] | None = None


@dataclass(frozen=True)
class Status:
    """State of the running job, for display.

    Attributes
    ----------
    title : str
        Empty if no job runs.
    progress : Progress
    seconds_left : float, optional
        None if it is not known yet.
    """

    title: str = ""
    progress: Progress = Progress(0, 0, "")  # noqa: RUF009 (frozen)
    seconds_left: float | None = None


class Jobs:
    """Runs one job at a time; a new job stops the running one and starts when it has ended.

    Jobs must not overlap because they share a proposal bank. Steps and results of a stopped job
    are ignored.

    Attributes
    ----------
    status : Status
    changed : Signal of Status
    failed : Signal of str
        Emitted with the text of the error.
    stopped : Signal
        Emitted when the user stops the running job.
    """

    changed = Signal(Status)
    failed = Signal(str)
    stopped = Signal()

    def __init__(self) -> None:
        self.status = Status()
        self._running: tuple[Job, GeneratorWorker] | None = None
        self._stopping = threading.Event()
        self._next: Job | None = None
        self._pace: tuple[int, int, float] | None = None
        self._when_idle: Callable[[], None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a job runs and was not stopped."""
        return bool(self.status.title)

    def start(self, job: Job) -> None:
        """Run `job`, now or as soon as the running one has stopped."""
        if self._running is not None:
            self._next = job
            self._stop_thread()
            self._set_status(Status(job.title, Progress(0, 0, "Waiting for the last step to end")))
            return
        self._begin(job)

    def stop(self) -> None:
        """Stop the job: its status ends at once, its thread at the end of the current step."""
        self._next = None
        self._stop_thread()
        self._set_status(Status())
        self.stopped.emit()

    def when_idle(self, action: Callable[[], None]) -> None:
        """Call `action` when no thread runs any more, at once if none does."""
        if self._running is None:
            action()
        else:
            self._when_idle = action

    # --- private ------------------------------------------------------------------------------

    def _begin(self, job: Job) -> None:
        self._stopping = threading.Event()
        worker = make_worker(_run_job, job, self._stopping)
        self._running, self._pace = (job, worker), None
        worker.yielded.connect(self._on_yielded)
        worker.returned.connect(self._on_returned)
        worker.finished.connect(self._on_finished)
        self._set_status(Status(job.title))
        worker.start()

    def _stop_thread(self) -> None:
        if self._running is not None:
            self._stopping.set()
            self._running[1].quit()

    def _on_yielded(self, step: Any) -> None:
        if self._running is None or self._stopping.is_set():
            return
        job = self._running[0]
        if isinstance(step, Progress):
            self._set_status(Status(job.title, step, self._seconds_left(step)))
        elif job.on_step is not None:
            job.on_step(step)

    def _on_returned(self, result: Any) -> None:
        if self._running is None or self._stopping.is_set():
            return
        if isinstance(result, _Failure):
            self._report(result.error)
        elif self._running[0].on_result is not None:
            self._running[0].on_result(result)

    def _report(self, error: Exception) -> None:
        if isinstance(error, UserError):
            text = str(error)
        else:
            log.error("a job failed", exc_info=error)
            text = (
                f"Unexpected error ({type(error).__name__}: {error}). "
                "Please report it with the log."
            )
        self.failed.emit(text)
        show_error(text)

    def _on_finished(self) -> None:
        self._running = None
        if self._next is not None:
            job, self._next = self._next, None
            self._begin(job)
            return
        self._set_status(Status())
        action, self._when_idle = self._when_idle, None
        if action is not None:
            action()

    def _set_status(self, status: Status) -> None:
        self.status = status
        self.changed.emit(status)

    def _seconds_left(self, step: Progress) -> float | None:
        """Return the time left, s, from the pace since the first step with the same total."""
        now = time.monotonic()
        if self._pace is None or self._pace[0] != step.total or step.done < self._pace[1]:
            self._pace = (step.total, step.done, now)
        _, first, since = self._pace
        done = step.done - first
        if done <= 0 or now - since < 0.5:
            return None
        return (now - since) / done * (step.total - step.done)


@dataclass(frozen=True)
class _Failure:
    error: Exception


def _run_job(job: Job, stopping: threading.Event) -> Generator[Any, None, Any]:
    """Run a job until `stopping` is set; return an error instead of raising it.

    An error in a worker is raised again on the GUI thread, where napari shows a traceback.
    """
    try:
        with interrupt.stoppable(stopping.is_set), short_switch_interval():
            result = yield from job.work(*job.arguments)
    except Exception as error:
        return _Failure(error)
    return result
