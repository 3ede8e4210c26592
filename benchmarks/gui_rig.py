"""A napari with an image, the clock that watches its window, and ways to wait for it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
from skimage.draw import disk
from skimage.filters import gaussian

BEAT = 5  # ms
PLUGIN = "napari-samstar"


class Heartbeat:
    """Notes every beat of a timer on the GUI thread, and the phase that it closes.

    Beside the time stands what the GUI thread computed between two beats, and what the process
    did. What the window waited for us beyond its own work, for the interpreter lock, the other
    threads of the process computed meanwhile: so the process' time is the most that can be ours.
    """

    def __init__(self) -> None:
        self.name = ""
        self._beats: list[tuple[str, float, float, float]] = []
        self._timer = QTimer()
        self._timer.setInterval(BEAT)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def phase(self, name: str) -> None:
        """Close a phase and begin another one."""
        self._beat()
        self.name = name

    def report(self) -> dict[str, dict[str, float]]:
        """Return the longest gaps of each phase, ms."""
        self.phase("")
        phases: dict[str, list[Any]] = {}
        for before, after in zip(self._beats, self._beats[1:], strict=False):
            phases.setdefault(after[0], []).append(np.subtract(after[1:], before[1:]) * 1000)
        return {name: _longest(np.array(gaps)) for name, gaps in phases.items() if name}

    def stop(self) -> None:
        """Beat no more."""
        self._timer.stop()

    def _beat(self) -> None:
        now = (time.perf_counter(), time.thread_time(), time.process_time())
        self._beats.append((self.name, *now))


def _longest(gaps: Any) -> dict[str, float]:
    wall, own, process = gaps.T
    return {
        "longest_ms": round(float(wall.max()), 1),
        "longest_own_cpu_ms": round(float(own.max()), 1),
        "longest_process_cpu_ms": round(float(process.max()), 1),
        "seconds": round(float(wall.sum()) / 1000, 2),
    }


class Bench:
    """A viewer with an image; the panels come with `open_panels`."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.viewer = napari.Viewer()
        self.layer = self.viewer.add_image(field(side), name="field")
        self.heart = Heartbeat()
        settle(2)

    def do(self, name: str, action: Callable[[], Any], *, rest: float = 0.3) -> float:
        """Carry out `action` as a phase; return the GUI thread's processor time with it, ms.

        That includes what napari draws afterwards.
        """
        self.heart.phase(name)
        start = time.thread_time()
        action()
        settle(rest)
        used = 1000 * (time.thread_time() - start)
        self.heart.phase("between")
        return used

    def open_panels(self, points: int) -> None:
        """Open the panels one after another, as phases: their first import is part of it."""
        for key, name in (("segment", "Segment"), ("tune", "Tune"), ("front", "Pareto front")):
            self.open(key, name)
        self.controller = self.segment.controller
        self.session, self.jobs = self.controller.session, self.controller.jobs
        self.session.events.result.connect(self._on_segmented)
        self.segment.settings.prompts.value = "grid"
        rows = self.segment.settings.rows
        for name, value in (
            ("points_per_side", points),
            ("pred_iou_thresh", 0.6),
            ("stability_score_thresh", 0.7),
        ):
            rows[name].value = value

    def open(self, key: str, name: str) -> None:
        """Open a panel as the menu does, and let it build itself; a phase."""
        self.heart.phase(f"open {name}")
        _, shell = self.viewer.window.add_plugin_dock_widget(PLUGIN, name)
        wait(lambda: shell.panel is not None)
        settle(1)
        self.heart.phase("between")
        setattr(self, key, shell.panel)

    def _on_segmented(self, *_: Any) -> None:
        # The last step of the job ends here and the layer is made next, before any beat.
        if self.heart.name in ("build the bank", "start up, load, encode"):
            self.heart.phase("first preview layer")

    def idle(self) -> None:
        """Wait until no job runs, nor the last step of a stopped one."""
        wait(lambda: not self.jobs.busy and self.jobs._running is None)

    def job(self, start: Callable[[], Any]) -> None:
        """Start a job and wait for its end."""
        start()
        self.idle()


def field(side: int, seed: int = 0) -> np.ndarray:
    """Bright discs on a noisy ground, uint16."""
    rng = np.random.default_rng(seed)
    image = np.zeros((side, side))
    for _ in range(120):
        row, col = rng.integers(0, side, 2)
        image[disk((row, col), rng.uniform(0.01, 0.04) * side, shape=image.shape)] = 1
    noisy = gaussian(image, 1.5) * 3000 + rng.normal(500, 60, image.shape)
    return np.clip(noisy, 0, None).astype(np.uint16)


def wait(ready: Callable[[], bool], patience: float = 1800) -> None:
    """Let napari work until `ready`."""
    end = time.monotonic() + patience
    while not ready():
        if time.monotonic() > end:
            sys.exit("napari did not get ready in time")
        QApplication.processEvents()
        time.sleep(0.001)


def settle(seconds: float) -> None:
    """Let napari work for a while."""
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end)
