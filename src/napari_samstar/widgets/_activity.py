"""The running job in napari's activity dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils import cancelable_progress

if TYPE_CHECKING:
    from napari_samstar.widgets._jobs import Jobs, Status


class Activity:
    """Mirrors `jobs` as a bar of napari's, whose Cancel button stops the job."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._bar: cancelable_progress | None = None
        self._title = ""
        jobs.changed.connect(self._on_jobs_changed)

    def _on_jobs_changed(self, status: Status) -> None:
        if self._bar is not None and (not status.title or status.title != self._title):
            self._bar.close()
            self._bar = None
        if not status.title:
            return
        if self._bar is None:
            self._title = status.title
            self._bar = cancelable_progress(
                total=0, desc=f"SAM* {status.title}", cancel_callback=self._jobs.stop
            )
        self._advance(status)

    def _advance(self, status: Status) -> None:
        bar, step = self._bar, status.progress
        assert bar is not None
        if bar.total != step.total:
            bar.total = step.total
        if bar.n != step.done:
            bar.n = step.done
            bar.events.value(value=step.done)
        text = f"SAM* {step.text or status.title}"
        if bar.desc != text and bar.desc != f"{text}: ":
            bar.set_description(text)
