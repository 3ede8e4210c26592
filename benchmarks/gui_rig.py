"""A napari viewer with an image, a timer that measures stalls of its window, and waiting."""

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

from napari_samstar.widgets.shell.docking import open_page

INTERVAL = 5  # ms between two ticks
PLUGIN = "napari-samstar"


class Heartbeat:
    """Records the ticks of a timer on the GUI thread, by phase.

    Besides wall time it records the processor time of the GUI thread and of the whole process.
    While the GUI thread waits for the interpreter lock, other threads of the process compute; so
    the time of the process is an upper bound of the stall that the plugin causes.
    """

    def __init__(self) -> None:
        self.name = ""
        self._ticks: list[tuple[str, float, float, float]] = []
        self._timer = QTimer()
        self._timer.setInterval(INTERVAL)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def begin_phase(self, name: str) -> None:
        """End the current phase and begin another one."""
        self._tick()
        self.name = name

    def report(self) -> dict[str, dict[str, float]]:
        """Return the longest gaps of each phase, ms."""
        self.begin_phase("")
        phases: dict[str, list[Any]] = {}
        for before, after in zip(self._ticks, self._ticks[1:], strict=False):
            phases.setdefault(after[0], []).append(np.subtract(after[1:], before[1:]) * 1000)
        return {name: _longest(np.array(gaps)) for name, gaps in phases.items() if name}

    def stop(self) -> None:
        """Stop the timer."""
        self._timer.stop()

    def _tick(self) -> None:
        now = (time.perf_counter(), time.thread_time(), time.process_time())
        self._ticks.append((self.name, *now))


def _longest(gaps: Any) -> dict[str, float]:
    wall, own, process = gaps.T
    return {
        "longest_ms": round(float(wall.max()), 1),
        "longest_own_cpu_ms": round(float(own.max()), 1),
        "longest_process_cpu_ms": round(float(process.max()), 1),
        "seconds": round(float(wall.sum()) / 1000, 2),
    }


class GuiRig:
    """A viewer with an image; `open_panels` opens the panels."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.viewer = napari.Viewer()
        self.layer = self.viewer.add_image(disc_image(side), name="field")
        self.heartbeat = Heartbeat()
        settle(2)

    def measure(self, name: str, action: Callable[[], Any], *, settle_s: float = 0.3) -> float:
        """Run `action` as a phase; return the processor time of the GUI thread, ms.

        This includes the drawing that follows.
        """
        self.heartbeat.begin_phase(name)
        start = time.thread_time()
        action()
        settle(settle_s)
        used = 1000 * (time.thread_time() - start)
        self.heartbeat.begin_phase("between")
        return used

    def open_panels(self, points: int) -> None:
        """Open the panels one after another, each as a phase that includes its first import."""
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
        """Open a panel as the menu does and wait until it is built, as a phase."""
        self.heartbeat.begin_phase(f"open {name}")
        shell = open_page(self.viewer, name)
        wait(lambda: shell.panel is not None)
        settle(1)
        self.heartbeat.begin_phase("between")
        setattr(self, key, shell.panel)

    def _on_segmented(self, *_: Any) -> None:
        # The job ends here; the layer is added next, before another tick.
        if self.heartbeat.name in ("build the bank", "start up, load, encode"):
            self.heartbeat.begin_phase("first preview layer")

    def wait_until_idle(self) -> None:
        """Wait until no job runs and no thread of a stopped job either."""
        wait(lambda: not self.jobs.busy and self.jobs._running is None)

    def run_job(self, start: Callable[[], Any]) -> None:
        """Start a job and wait for its end."""
        start()
        self.wait_until_idle()


def disc_image(side: int, seed: int = 0) -> np.ndarray:
    """Return bright discs on a noisy background, uint16 (side, side)."""
    rng = np.random.default_rng(seed)
    image = np.zeros((side, side))
    for _ in range(120):
        row, col = rng.integers(0, side, 2)
        image[disk((row, col), rng.uniform(0.01, 0.04) * side, shape=image.shape)] = 1
    noisy = gaussian(image, 1.5) * 3000 + rng.normal(500, 60, image.shape)
    return np.clip(noisy, 0, None).astype(np.uint16)


def wait(ready: Callable[[], bool], timeout: float = 1800) -> None:
    """Process events until `ready()`."""
    end = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > end:
            sys.exit("napari did not get ready in time")
        QApplication.processEvents()
        time.sleep(0.001)


def settle(seconds: float) -> None:
    """Process events for some seconds."""
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end)
