"""The running job in napari's activity dock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils import cancelable_progress
from qtpy.QtCore import QObject, QTimer

from napari_samstar.widgets.shell.alive import call_if_alive

if TYPE_CHECKING:
    from napari_samstar.widgets.jobs.jobs import Jobs

INTERVAL = 100  # ms


class _Bar(cancelable_progress):
    """A bar that is not iterated over: napari calls back after Cancel only between two items."""

    def cancel(self) -> None:
        super().cancel()
        if self.cancel_callback is not None:
            self.cancel_callback()


class Activity(QObject):
    """Mirrors `jobs` as a bar of napari's, whose Cancel button stops the job.

    napari's bars process events whenever they change, so the next status may arrive in the middle
    of a change. Hence the bar follows a little later, and never while it is changing.
    """

    def __init__(self, jobs: Jobs) -> None:
        super().__init__()
        self._jobs = jobs
        self._bar: cancelable_progress | None = None
        self._title = ""
        self._changing = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(INTERVAL)
        self._timer.timeout.connect(self._follow)
        jobs.changed.connect(call_if_alive(self._on_jobs_changed))

    def _on_jobs_changed(self, _: Any) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _follow(self) -> None:
        if self._changing:
            self._timer.start()
            return
        self._changing = True
        try:
            self._change()
        finally:
            self._changing = False

    def _change(self) -> None:
        title = self._jobs.status.title
        if self._bar is not None and title != self._title:
            self._bar.close()
            self._bar = None
        if not title:
            return
        if self._bar is None:
            self._title = title
            self._bar = _Bar(total=0, desc=f"SAM* {title}", cancel_callback=self._jobs.stop)
        self._advance(self._bar)

    def _advance(self, bar: cancelable_progress) -> None:
        step, title = self._jobs.status.progress, self._jobs.status.title
        if bar.total != step.total:
            bar.total = step.total
        if bar.n != step.done:
            bar.n = step.done
            bar.events.value(value=step.done)
        text = f"SAM* {step.text or title}"
        if bar.desc.removesuffix(": ") != text:
            bar.set_description(text)
