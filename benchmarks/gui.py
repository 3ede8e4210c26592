"""Responsiveness of the window, and memory, in a real napari: stalls, previews, Stop.

    tools/with_display.sh python -m benchmarks.gui               everything
    tools/with_display.sh python -m benchmarks.gui --only stalls

A timer of 5 ms ticks on the GUI thread; a stall is the longest time between two ticks. Wall time
includes other work on the machine, so processor time is reported too (see `gui_rig`). What layers
cost napari itself is measured in the same run, with layers that are not the plugin's, before the
panels are opened and after. napari draws its window, so a display is needed.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from functools import partial
from typing import Annotated, Any

# An empty cache, so that no earlier run shortens this one.
os.environ["SAMSTAR_CACHE"] = tempfile.mkdtemp()

import numpy as np
import typer
from qtpy.QtWidgets import QLabel

from benchmarks.gui_memory import memory
from benchmarks.gui_rig import GuiRig, settle, wait
from benchmarks.gui_stop import stop_at_start_up, stop_latency

PARTS = ("stalls", "worker", "stop", "memory")


def main(
    only: Annotated[list[str] | None, typer.Option()] = None,
    side: int = 1024,
    points: int = 32,
    trials: int = 400,
) -> None:
    parts = only or PARTS
    if set(parts) - set(PARTS):
        sys.exit(f"--only takes {', '.join(PARTS)}")
    rig = GuiRig(side)
    report: dict[str, Any] = {
        "image": [side, side],
        "points_per_side": points,
        "cpus": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
    }
    started = time.monotonic()
    rig.heartbeat.begin_phase("idle")
    wait(lambda: time.monotonic() > started + 3)
    napari_alone(rig, "napari alone")
    rig.open_panels(points)
    if "stop" in parts:
        report["stop_s"] = stop_at_start_up(rig)
    report["preview"] = session(rig, trials)
    napari_alone(rig, "napari with torch loaded")
    report["phases"] = rig.heartbeat.report()
    if "worker" in parts:
        report["worker"] = worker_against_main(rig)
    if "stop" in parts:
        report["stop_s"] |= stop_latency(rig)
    if "memory" in parts:
        report["memory_MiB"] = memory(rig, trials)
    report["load_after"] = round(os.getloadavg()[0], 1)
    print(json.dumps(report, indent=2))
    if "memory" not in parts:  # that closes it
        rig.viewer.close()


# --- stalls -----------------------------------------------------------------------------------


def napari_alone(rig: GuiRig, prefix: str) -> None:
    """Measure adding, changing and removing a dock and Labels layers that are not the plugin's."""
    tiles = np.arange(rig.side, dtype=np.int32) // 64
    labels = tiles[:, None] * 64 + tiles + 1
    layers: list[Any] = []

    def add() -> None:
        layers.append(rig.viewer.add_labels(labels.copy(), name=f"unrelated {len(layers)}"))

    dock = QLabel("unrelated")
    window = rig.viewer.window
    rig.measure(f"{prefix}: dock", lambda: window.add_dock_widget(dock, name="unrelated"))
    rig.measure(f"{prefix}: dock removed", lambda: window.remove_dock_widget(dock))
    rig.measure(f"{prefix}: first Labels layer", add)
    rig.measure(f"{prefix}: another Labels layer", add)
    flipped = labels[::-1].copy()
    rig.measure(f"{prefix}: its data replaced", lambda: setattr(layers[1], "data", flipped))
    for layer in layers:
        rig.measure(f"{prefix}: Labels layer removed", partial(rig.viewer.layers.remove, layer))


def session(rig: GuiRig, trials: int) -> dict[str, Any]:
    """Segment, tune, choose on the front, apply and undo; return the times of previews."""
    heartbeat, history = rig.heartbeat, rig.controller.history
    heartbeat.begin_phase("start up, load, encode")
    rig.segment.run_button.click()
    wait(lambda: rig.jobs.status.progress.text.startswith("Decoding") or not rig.jobs.busy)
    heartbeat.begin_phase("build the bank")
    rig.wait_until_idle()
    settle(0.3)
    rig.tune.budget_box.setValue(trials)
    rig.measure("search", lambda: rig.run_job(rig.tune.run_button.click))
    clicks = previews(rig)
    members = rig.session.front.members.tolist()
    rig.measure("first comparison", lambda: rig.front.compare(members[0]))
    rig.measure("back to the preview", lambda: rig.front.choose(members[-1]))
    rig.measure("another comparison", lambda: rig.front.compare(members[0]))
    rig.measure("back to the preview", lambda: rig.front.choose(members[-1]))
    rig.measure("Apply", rig.front.apply_button.click, settle_s=2)
    rig.measure("undo of Apply", history.undo)
    rig.measure("redo of Apply", history.redo)
    rig.front.choose(members[len(members) // 2])
    applied = rig.controller.layers.applied
    rig.measure("Apply to an existing layer", lambda: rig.controller.apply(applied), settle_s=2)
    rig.measure("undo of Apply to an existing layer", history.undo)
    rig.open("results", "Results")
    return clicks


def previews(rig: GuiRig) -> dict[str, Any]:
    """Choose points of the front; return how long each blocked the GUI thread."""
    members = rig.session.front.members.tolist()
    times, handled, drawn = [], [], []
    for position in members[:: max(1, len(members) // 40)]:
        rig.heartbeat.begin_phase("previews")
        start, cpu = time.perf_counter(), time.thread_time()
        rig.front.choose(position)
        times.append(1000 * (time.perf_counter() - start))
        handled.append(1000 * (time.thread_time() - cpu))
        settle(0.1)
        drawn.append(1000 * (time.thread_time() - cpu))
    bank = rig.session.result.bank
    return {
        "clicks": len(times),
        "candidates": 3 * rig.session.result.selection.config.points_per_side**2,
        "masks_in_the_bank": len(bank.masks),
        "objects_on_show": len(rig.session.selection),
        "click_ms": _median_and_max(times),
        "click_own_cpu_ms": _median_and_max(handled),
        "with_drawing_own_cpu_ms": _median_and_max(drawn),
    }


def _median_and_max(values: list[float]) -> list[float]:
    return [round(statistics.median(values), 1), round(max(values), 1)]


def worker_against_main(rig: GuiRig, repeats: int = 3, points: int = 16) -> dict[str, Any]:
    """Compare building a bank on the GUI thread and in a worker, in turns, with the window open."""
    from napari.qt.threading import create_worker

    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.progress import run

    segmented = rig.session.result
    config = AmgConfig(points_per_side=points)

    def build() -> float:
        start = time.thread_time()
        run(ProposalBank(segmented.image, segmented.model).prepare(config))
        return time.thread_time() - start

    def in_worker() -> float:
        seconds: list[float] = []
        worker = create_worker(build, _start_thread=False)
        worker.returned.connect(seconds.append)
        worker.start()
        wait(lambda: bool(seconds))
        return seconds[0]

    build()
    on_gui_thread, in_worker_thread = [], []
    for _ in range(repeats):
        on_gui_thread.append(build())
        in_worker_thread.append(in_worker())
    gui_thread, worker_thread = (
        statistics.median(on_gui_thread),
        statistics.median(in_worker_thread),
    )
    return {
        "repeats": repeats,
        "gui_thread_cpu_s": round(gui_thread, 2),
        "worker_cpu_s": round(worker_thread, 2),
        "worker_over_gui_thread": round(worker_thread / gui_thread, 2),
    }


if __name__ == "__main__":
    typer.run(main)
