"""The running job as a progress bar in napari's activity dock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils import cancelable_progress
from qtpy.QtCore import QObject, QTimer

from napari_samstar.widgets.shell.alive import call_if_alive

if TYPE_CHECKING:
    from napari_samstar.widgets.jobs.jobs import Jobs

UPDATE_INTERVAL = 100  # ms


class _ProgressBar(cancelable_progress):
    """A bar whose Cancel acts at once; napari's own acts only while the bar is iterated over."""

    def cancel(self) -> None:
        super().cancel()
        if self.cancel_callback is not None:
            self.cancel_callback()


class Activity(QObject):
    """Shows the status of `jobs` as a progress bar of napari; its Cancel button stops the job.

    napari's bars process Qt events whenever they change, so the next status may arrive during a
    change. Hence a timer updates the bar, and never while it is being changed.
    """

    def __init__(self, jobs: Jobs) -> None:
        super().__init__()
        self._jobs = jobs
        self._bar: cancelable_progress | None = None
        self._title = ""
        self._updating = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(UPDATE_INTERVAL)
        self._timer.timeout.connect(self._update)
        jobs.changed.connect(call_if_alive(self._on_jobs_changed))

    def _on_jobs_changed(self, _: Any) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _update(self) -> None:
        if self._updating:
            self._timer.start()
            return
        self._updating = True
        try:
            self._update_bar()
        finally:
            self._updating = False

    def _update_bar(self) -> None:
        title = self._jobs.status.title
        if self._bar is not None and title != self._title:
            self._bar.close()
            self._bar = None
        if not title:
            return
        if self._bar is None:
            self._title = title
            self._bar = _ProgressBar(total=0, desc=f"SAM* {title}", cancel_callback=self._jobs.stop)
        self._show_progress(self._bar)

    def _show_progress(self, bar: cancelable_progress) -> None:
        step, title = self._jobs.status.progress, self._jobs.status.title
        if bar.total != step.total:
            bar.total = step.total
        if bar.n != step.done:
            bar.n = step.done
            bar.events.value(value=step.done)
        text = f"SAM* {step.text or title}"
        if bar.desc.removesuffix(": ") != text:
            bar.set_description(text)
