"""napari's activity dock shows the running job, and its Cancel button stops it."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from napari._qt.widgets.qt_progress_bar import QtLabeledProgressBar
from napari.utils import progress
from qtpy.QtWidgets import QApplication

from napari_samstar.core.progress import Progress
from napari_samstar.widgets.jobs.activity import Activity
from napari_samstar.widgets.jobs.jobs import Job, Jobs

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture
def jobs(make_napari_viewer: Any) -> Jobs:
    make_napari_viewer()
    made = Jobs()
    made.activity = Activity(made)
    return made


def _bars() -> list[progress]:
    return [bar for bar in progress._all_instances if str(bar.desc).startswith("SAM*")]


def test_a_job_has_a_bar_until_it_ends(jobs: Jobs, qtbot: Any) -> None:
    go = threading.Event()

    def work() -> Generator[Any, None, None]:
        yield Progress(1, 4, "Counting")
        go.wait(60)
        yield Progress(3, 4, "Counting")

    jobs.start(Job("Count", work))
    qtbot.waitUntil(lambda: [b.n for b in _bars()] == [1])
    (bar,) = _bars()
    assert bar.total == 4
    assert "Counting" in bar.desc
    go.set()
    qtbot.waitUntil(lambda: not _bars())


def test_the_cancel_button_stops_an_endless_job(jobs: Jobs, qtbot: Any) -> None:
    ended = threading.Event()

    def work() -> Generator[Any, None, None]:
        try:
            for k in itertools.count():
                yield Progress(k, 0, "Counting")
                time.sleep(0.01)
        finally:
            ended.set()

    jobs.start(Job("Count", work))
    qtbot.waitUntil(lambda: bool(_bars()))
    (bar,) = _bars()
    button = _shown(bar).cancel_button
    assert not button.isHidden()
    button.click()
    assert not jobs.busy
    assert ended.wait(60)
    qtbot.waitUntil(lambda: jobs._running is None and not _bars())


def _shown(bar: progress) -> QtLabeledProgressBar:
    (found,) = (
        widget
        for widget in QApplication.allWidgets()
        if isinstance(widget, QtLabeledProgressBar) and widget.progress is bar
    )
    return found
