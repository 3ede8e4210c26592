"""Waiting for events of a window, never for a fixed time."""

from __future__ import annotations

from typing import Any

from napari.qt.threading import WorkerBase
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

PATIENCE = 240_000  # ms; far longer than any step takes, also on a busy machine


def wait_until_idle(panels: Any, qtbot: Any) -> None:
    """Wait until no job runs any more."""
    wait_for_jobs(panels.segment.controller.jobs, qtbot)


def wait_for_jobs(jobs: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not jobs.busy and jobs._running is None)


def wait_for_workers(qtbot: Any) -> None:
    """Wait until all workers have ended and their results were delivered."""
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)
    let_events_run(qtbot)


def let_events_run(qtbot: Any) -> None:
    """Wait until everything is done that Qt was to do in this turn of its loop and in the next."""
    for _ in range(2):
        reached: list[bool] = []
        QTimer.singleShot(0, lambda reached=reached: reached.append(True))
        qtbot.waitUntil(lambda reached=reached: bool(reached))
    QApplication.sendPostedEvents()


def wait_until_drawn(viewer: Any, qtbot: Any) -> None:
    """Wait until the canvas of a window on screen was drawn once more."""
    canvas = viewer.window._qt_viewer.canvas
    drawn: list[bool] = []

    def on_draw(_: Any) -> None:
        drawn.append(True)

    canvas._scene_canvas.events.draw.connect(on_draw)
    try:
        canvas.native.update()
        qtbot.waitUntil(lambda: bool(drawn))
    finally:
        canvas._scene_canvas.events.draw.disconnect(on_draw)


def wait_until_laid_out(viewer: Any, qtbot: Any) -> None:
    """Wait until docks have their place: sizes are the same in several turns of Qt's loop."""
    window, canvas = viewer.window._qt_window, viewer.window._qt_viewer.canvas.native
    sizes: list[Any] = []

    def is_steady() -> bool:
        sizes.append((window.size(), canvas.size()))
        return len(sizes) >= 4 and all(size == sizes[-1] for size in sizes[-4:])

    qtbot.waitUntil(is_steady)
