"""Does the window stay alive? Stalls, inference in a worker, memory and Stop, in a real napari.

    tools/with_display.sh python -m benchmarks.gui               everything
    tools/with_display.sh python -m benchmarks.gui --only stalls

A heartbeat of 5 ms beats on the GUI thread; a stall is the longest time between two beats. Beside
it stands the processor time that the GUI thread itself used in that gap: what is missing to the
stall was spent waiting, for the interpreter lock or, on a busy machine, for a processor. The phase
"idle" is napari without us. One napari draws, so it needs a display.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

# Nothing that an earlier run left behind may shorten this one.
os.environ["SAMSTAR_CACHE"] = tempfile.mkdtemp()

import napari
import numpy as np
import psutil
import typer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
from skimage.draw import disk
from skimage.filters import gaussian

from napari_samstar.widgets._front import FrontPanel
from napari_samstar.widgets._segment import SegmentPanel
from napari_samstar.widgets._tune import TunePanel

BEAT = 5  # ms
PARTS = ("stalls", "worker", "stop", "memory")


class Heartbeat:
    """Notes every beat of a timer on the GUI thread."""

    def __init__(self) -> None:
        self._timer = QTimer()
        self._timer.setInterval(BEAT)
        self._timer.timeout.connect(self._beat)
        self._beats: list[tuple[float, float]] = []
        self._timer.start()

    def _beat(self) -> None:
        self._beats.append((time.perf_counter(), time.thread_time()))

    @contextmanager
    def watch(self, into: dict[str, Any]) -> Iterator[None]:
        """Write the longest gap of the block, ms, into a dict."""
        self._beats.clear()
        self._beat()
        yield
        settle(0.05)
        wall, used = np.diff(np.array(self._beats), axis=0).T * 1000
        worst = int(wall.argmax())
        into.update(
            stall_ms=round(float(wall[worst]), 1),
            of_it_gui_thread_cpu_ms=round(float(used[worst]), 1),
            gaps_over_100_ms=int((wall > 100).sum()),
            longest_gui_thread_cpu_ms=round(float(used.max()), 1),
            seconds=round(self._beats[-1][0] - self._beats[0][0], 2),
        )


class Bench:
    """A viewer with an image, and the panels."""

    def __init__(self, side: int, points: int) -> None:
        self.viewer = napari.Viewer()
        self.layer = self.viewer.add_image(field(side), name="field")
        self.segment = SegmentPanel(self.viewer)
        self.tune, self.front = TunePanel(self.viewer), FrontPanel(self.viewer)
        for panel in (self.segment, self.tune, self.front):
            self.viewer.window.add_dock_widget(panel, area="right", tabify=True)
        self.desk = self.segment.desk
        self.session, self.jobs = self.desk.session, self.desk.jobs
        self.segment.settings.rows["points_per_side"].value = points
        for name, value in (("pred_iou_thresh", 0.6), ("stability_score_thresh", 0.7)):
            self.segment.settings.rows[name].value = value
        self.heart = Heartbeat()
        settle(2)

    def idle(self) -> None:
        wait(lambda: not self.jobs.busy and self.jobs._running is None)


def main(
    only: Annotated[list[str] | None, typer.Option()] = None,
    side: int = 1024,
    points: int = 32,
    evaluations: int = 400,
) -> None:
    parts = only or PARTS
    if set(parts) - set(PARTS):
        sys.exit(f"--only takes {', '.join(PARTS)}")
    bench = Bench(side, points)
    report: dict[str, Any] = {
        "image": [side, side],
        "points_per_side": points,
        "cpus": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
    }
    report["phases"] = stalls(bench, evaluations)
    if "worker" in parts:
        report["worker"] = worker_against_main(bench)
    if "stop" in parts:
        report["stop_s"] = stop_latency(bench)
    if "memory" in parts:
        report["memory_MiB"] = memory(bench, evaluations)
    report["load_after"] = round(os.getloadavg()[0], 1)
    print(json.dumps(report, indent=2))
    bench.viewer.close()


# --- stalls -----------------------------------------------------------------------------------


def stalls(bench: Bench, evaluations: int) -> dict[str, Any]:
    """Return the longest stall of each phase."""
    found: dict[str, Any] = {}

    def phase(name: str, action: Callable[[], Any], until: Callable[[], bool]) -> None:
        with bench.heart.watch(found.setdefault(name, {})):
            action()
            wait(until)

    started = time.monotonic()
    phase("idle", lambda: None, lambda: time.monotonic() - started > 3)
    texts = ("Encoding the image", "Asking SAM for candidates")
    phase("start up, load, encode", bench.segment.run_button.click,
          lambda: bench.jobs.status.progress.text == texts[1])  # fmt: skip
    phase("build the bank", lambda: None, lambda: bench.session.segmented is not None)
    bench.idle()
    bench.tune.budget_box.setValue(evaluations)
    phase("search", bench.tune.run_button.click,
          lambda: not bench.jobs.busy and bench.jobs._running is None)  # fmt: skip
    found["preview"] = previews(bench)
    phase("apply", bench.front.apply_button.click, lambda: True)
    phase("undo", bench.desk.history.undo, lambda: True)
    return found


def previews(bench: Bench) -> dict[str, Any]:
    """Click every point of the front; return how long each click held the GUI thread."""
    members = bench.session.front.members.tolist()
    times, used = [], []
    for position in members:
        start, cpu = time.perf_counter(), time.thread_time()
        bench.front.choose(position)
        times.append(1000 * (time.perf_counter() - start))
        used.append(1000 * (time.thread_time() - cpu))
        settle(0.1)
    return {
        "clicks": len(times),
        "candidates": 3 * bench.session.segmented.selection.config.points_per_side**2,
        "objects_on_show": len(bench.session.selection),
        "median_ms": round(statistics.median(times), 1),
        "longest_ms": round(max(times), 1),
        "median_gui_thread_cpu_ms": round(statistics.median(used), 1),
    }


# --- worker, Stop, memory ---------------------------------------------------------------------


def worker_against_main(bench: Bench, repeats: int = 3, points: int = 16) -> dict[str, Any]:
    """Build the same bank on the GUI thread and in a worker, in turns, with the window open."""
    from napari.qt.threading import create_worker

    from napari_samstar.core.config import AmgConfig
    from napari_samstar.core.proposals import ProposalBank, run

    segmented = bench.session.segmented
    config = AmgConfig(points_per_side=points)

    def build() -> float:
        start = time.perf_counter()
        run(ProposalBank(segmented.image, segmented.model).prepare(config))
        return time.perf_counter() - start

    def in_worker() -> float:
        outcome: list[float] = []
        worker = create_worker(build, _start_thread=False)
        worker.returned.connect(outcome.append)
        worker.start()
        wait(lambda: bool(outcome))
        return outcome[0]

    build()
    here, there = [], []
    for _ in range(repeats):
        here.append(build())
        there.append(in_worker())
    return {
        "repeats": repeats,
        "gui_thread_s": round(statistics.median(here), 2),
        "worker_s": round(statistics.median(there), 2),
        "worker_over_gui_thread": round(statistics.median(there) / statistics.median(here), 2),
    }


def stop_latency(bench: Bench) -> dict[str, float]:
    """Return how long a thread works on after Stop, for each stage."""
    found = {}
    for k, text in enumerate(("Encoding the image", "Asking SAM for candidates")):
        bench.desk.cache().clear_memory()
        bench.layer.data = field(bench.layer.data.shape[0], seed=10 + k)
        bench.segment.run()
        found[text] = _stopped(bench, lambda text=text: bench.jobs.status.progress.text == text)
    bench.segment.run()
    bench.idle()
    bench.tune.run_button.click()
    looking = "Looking for edges, spots and foreground"
    found[looking] = _stopped(bench, lambda: bench.jobs.status.progress.text == looking)
    bench.tune.run_button.click()
    found["Trying settings"] = _stopped(bench, lambda: len(bench.session.evaluations) > 40)
    return found


def _stopped(bench: Bench, ready: Callable[[], bool]) -> float:
    wait(lambda: ready() or not bench.jobs.busy)
    start = time.perf_counter()
    bench.jobs.stop()
    wait(lambda: bench.jobs._running is None)
    return round(time.perf_counter() - start, 2)


def memory(bench: Bench, evaluations: int) -> dict[str, Any]:
    """Return the resident memory after ten tunings in a row, and after closing the layer."""
    bench.segment.run()
    bench.idle()
    bench.tune.budget_box.setValue(evaluations)
    after = []
    for seed in range(10):
        bench.tune.seed_box.setValue(seed)
        bench.tune.run_button.click()
        bench.idle()
        after.append(resident())
    full = resident()
    bench.viewer.layers.remove(bench.layer)
    bench.idle()
    settle(0.5)
    bench.layer = bench.viewer.add_image(field(256), name="small")
    gc.collect()
    return {
        "after_each_of_ten_tunings": after,
        "grown_from_the_second_to_the_tenth": after[-1] - after[1],
        "before_closing_the_layer": full,
        "after_closing_the_layer": resident(),
        "bank_is_gone": bench.session.segmented is None,
    }


def resident() -> int:
    return int(psutil.Process().memory_info().rss / 2**20)


# --- helpers ----------------------------------------------------------------------------------


def field(side: int, seed: int = 0) -> np.ndarray:
    """Bright discs on a noisy ground, uint16."""
    rng = np.random.default_rng(seed)
    image = np.zeros((side, side))
    for _ in range(120):
        row, col = rng.integers(0, side, 2)
        image[disk((row, col), rng.uniform(0.01, 0.04) * side, shape=image.shape)] = 1
    noisy = gaussian(image, 1.5) * 3000 + rng.normal(500, 60, image.shape)
    return np.clip(noisy, 0, None).astype(np.uint16)


def wait(ready: Callable[[], bool], patience: float = 900) -> None:
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


if __name__ == "__main__":
    typer.run(main)
