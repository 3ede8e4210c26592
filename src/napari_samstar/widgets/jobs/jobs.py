"""Long work off the GUI thread: one job at a time, the newest wins."""

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
    """A generator function to run, and what becomes of its yields and its result.

    The callbacks run on the GUI thread and must write to the session only: panels may be gone by
    then.
    """

    title: str
    work: Callable[..., Generator[Any, None, Any]]
    arguments: tuple[Any, ...] = ()
    on_step: Callable[[Any], None] | None = None
    on_result: Callable[[Any], None] | None = None


@dataclass(frozen=True)
class Status:
    """What the panels show about the running job.

    Attributes
    ----------
    title : str
        Empty where nothing runs.
    progress : Progress
    seconds_left : float, optional
        None where it is not known yet.
    """

    title: str = ""
    progress: Progress = Progress(0, 0, "")  # noqa: RUF009 (frozen)
    seconds_left: float | None = None


class Jobs:
    """Runs jobs one after another; a new one stops the old one and starts when it has ended.

    They run one at a time because they share a proposal bank. Results and steps of a stopped job
    are dropped, even where they arrive late.
    """

    changed = Signal(Status)
    failed = Signal(str)

    def __init__(self) -> None:
        self.status = Status()
        self._running: tuple[Job, GeneratorWorker] | None = None
        self._stopping = threading.Event()
        self._next: Job | None = None
        self._pace: tuple[str, int, float] | None = None
        self._when_idle: Callable[[], None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a job runs that was not stopped."""
        return bool(self.status.title)

    def start(self, job: Job) -> None:
        """Run `job`, now or as soon as the one before has stopped."""
        if self._running is not None:
            self._next = job
            self._quit()
            self._show(Status(job.title, Progress(0, 0, "Waiting for the last step to end")))
            return
        self._begin(job)

    def stop(self) -> None:
        """Stop at once as far as anyone can see; the thread ends within its current step."""
        self._next = None
        self._quit()
        self._show(Status())

    def when_idle(self, action: Callable[[], None]) -> None:
        """Call `action` as soon as no thread works any more; at once where none does."""
        if self._running is None:
            action()
        else:
            self._when_idle = action

    # --- private ------------------------------------------------------------------------------

    def _begin(self, job: Job) -> None:
        self._stopping = threading.Event()
        worker = make_worker(_guarded, job, self._stopping)
        self._running, self._pace = (job, worker), None
        worker.yielded.connect(self._on_yielded)
        worker.returned.connect(self._on_returned)
        worker.finished.connect(self._on_finished)
        self._show(Status(job.title))
        worker.start()

    def _quit(self) -> None:
        if self._running is not None:
            self._stopping.set()
            self._running[1].quit()

    def _on_yielded(self, step: Any) -> None:
        if self._running is None or self._stopping.is_set():
            return
        job = self._running[0]
        if isinstance(step, Progress):
            self._show(Status(job.title, step, self._seconds_left(step)))
        elif job.on_step is not None:
            job.on_step(step)

    def _on_returned(self, result: Any) -> None:
        if self._running is None or self._stopping.is_set():
            return
        if isinstance(result, _Failure):
            self._fail(result.error)
        elif self._running[0].on_result is not None:
            self._running[0].on_result(result)

    def _fail(self, error: Exception) -> None:
        if isinstance(error, UserError):
            text = str(error)
        else:
            log.error("a job failed", exc_info=error)
            text = (
                f"Something went wrong that should not have ({type(error).__name__}: {error}). "
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
        self._show(Status())
        action, self._when_idle = self._when_idle, None
        if action is not None:
            action()

    def _show(self, status: Status) -> None:
        self.status = status
        self.changed.emit(status)

    def _seconds_left(self, step: Progress) -> float | None:
        """Extrapolate the pace since the first step of the same kind of work."""
        now = time.monotonic()
        if self._pace is None or self._pace[0] != step.text or step.done < self._pace[1]:
            self._pace = (step.text, step.done, now)
        _, first, since = self._pace
        done = step.done - first
        if done <= 0 or now - since < 0.5:
            return None
        return (now - since) / done * (step.total - step.done)


@dataclass(frozen=True)
class _Failure:
    error: Exception


def _guarded(job: Job, stopping: threading.Event) -> Generator[Any, None, Any]:
    """Run a job until it is `stopping`; return an exception instead of raising it.

    A worker that raises does so a second time on the GUI thread, where napari would show the user
    a traceback.
    """
    try:
        with interrupt.stoppable(stopping.is_set), short_switch_interval():
            result = yield from job.work(*job.arguments)
    except Exception as error:
        return _Failure(error)
    return result
