"""Does the window stay alive? Stalls, previews, Stop and memory, in a real napari.

    tools/with_display.sh python -m benchmarks.gui               everything
    tools/with_display.sh python -m benchmarks.gui --only stalls

A heartbeat of 5 ms beats on the GUI thread; a stall is the longest time between two beats. Time
counts what else runs on the machine, so processor time stands beside it (see `gui_rig`). What a
layer costs napari itself is measured in the same run with layers of no concern to us, before our
panels are there and after. One napari draws, so it needs a display.
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

# Nothing that an earlier run left behind may shorten this one.
os.environ["SAMSTAR_CACHE"] = tempfile.mkdtemp()

import numpy as np
import typer
from qtpy.QtWidgets import QLabel

from benchmarks.gui_memory import memory
from benchmarks.gui_rig import Bench, settle, wait
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
    bench = Bench(side)
    report: dict[str, Any] = {
        "image": [side, side],
        "points_per_side": points,
        "cpus": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
    }
    started = time.monotonic()
    bench.heart.phase("idle")
    wait(lambda: time.monotonic() > started + 3)
    napari_alone(bench, "napari alone")
    bench.open_panels(points)
    if "stop" in parts:
        report["stop_s"] = stop_at_start_up(bench)
    report["preview"] = session(bench, trials)
    napari_alone(bench, "napari with torch loaded")
    report["phases"] = bench.heart.report()
    if "worker" in parts:
        report["worker"] = worker_against_main(bench)
    if "stop" in parts:
        report["stop_s"] |= stop_latency(bench)
    if "memory" in parts:
        report["memory_MiB"] = memory(bench, trials)
    report["load_after"] = round(os.getloadavg()[0], 1)
    print(json.dumps(report, indent=2))
    if "memory" not in parts:  # that closes it
        bench.viewer.close()


# --- stalls -----------------------------------------------------------------------------------


def napari_alone(bench: Bench, who: str) -> None:
    """Add, change and remove a dock and Labels layers that are none of ours."""
    tiles = np.arange(bench.side, dtype=np.int32) // 64
    labels = tiles[:, None] * 64 + tiles + 1
    layers: list[Any] = []

    def add() -> None:
        layers.append(bench.viewer.add_labels(labels.copy(), name=f"not ours {len(layers)}"))

    dock = QLabel("not ours")
    bench.do(f"{who}: dock", lambda: bench.viewer.window.add_dock_widget(dock, name="not ours"))
    bench.do(f"{who}: dock removed", lambda: bench.viewer.window.remove_dock_widget(dock))
    bench.do(f"{who}: first Labels layer", add)
    bench.do(f"{who}: another Labels layer", add)
    bench.do(f"{who}: its data replaced", lambda: setattr(layers[1], "data", labels[::-1].copy()))
    for layer in layers:
        bench.do(f"{who}: Labels layer removed", partial(bench.viewer.layers.remove, layer))


def session(bench: Bench, trials: int) -> dict[str, Any]:
    """Segment, tune, look at the front, apply and take back; return what previews cost."""
    heart, history = bench.heart, bench.controller.history
    heart.phase("start up, load, encode")
    bench.segment.run_button.click()
    wait(lambda: bench.jobs.status.progress.text.startswith("Asking SAM") or not bench.jobs.busy)
    heart.phase("build the bank")
    bench.idle()
    settle(0.3)
    bench.tune.budget_box.setValue(trials)
    bench.do("search", lambda: bench.job(bench.tune.run_button.click))
    clicks = previews(bench)
    members = bench.session.front.members.tolist()
    bench.do("first comparison", lambda: bench.front.compare(members[0]))
    bench.do("back to the preview", lambda: bench.front.choose(members[-1]))
    bench.do("another comparison", lambda: bench.front.compare(members[0]))
    bench.do("back to the preview", lambda: bench.front.choose(members[-1]))
    bench.do("Apply", bench.front.apply_button.click, rest=2)
    bench.do("undo of Apply", history.undo)
    bench.do("redo of Apply", history.redo)
    bench.front.choose(members[len(members) // 2])
    applied = bench.controller.layers.applied
    bench.do("Apply to the layer that is there", lambda: bench.controller.apply(applied), rest=2)
    bench.do("undo of that", history.undo)
    bench.open("results", "Results")
    return clicks


def previews(bench: Bench) -> dict[str, Any]:
    """Click points of the front; return how long each click held the GUI thread."""
    members = bench.session.front.members.tolist()
    times, handled, drawn = [], [], []
    for position in members[:: max(1, len(members) // 40)]:
        bench.heart.phase("previews")
        start, cpu = time.perf_counter(), time.thread_time()
        bench.front.choose(position)
        times.append(1000 * (time.perf_counter() - start))
        handled.append(1000 * (time.thread_time() - cpu))
        settle(0.1)
        drawn.append(1000 * (time.thread_time() - cpu))
    bank = bench.session.result.bank
    return {
        "clicks": len(times),
        "candidates": 3 * bench.session.result.selection.config.points_per_side**2,
        "masks_in_the_bank": len(bank.masks),
        "objects_on_show": len(bench.session.selection),
        "click_ms": _median_and_most(times),
        "click_own_cpu_ms": _median_and_most(handled),
        "with_drawing_own_cpu_ms": _median_and_most(drawn),
    }


def _median_and_most(values: list[float]) -> list[float]:
    return [round(statistics.median(values), 1), round(max(values), 1)]


def worker_against_main(bench: Bench, repeats: int = 3, points: int = 16) -> dict[str, Any]:
    """Build the same bank on the GUI thread and in a worker, in turns, with the window open."""
    from napari.qt.threading import create_worker

    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.progress import run
    from napari_samstar.core.amg.config import AmgConfig

    segmented = bench.session.result
    config = AmgConfig(points_per_side=points)

    def build() -> float:
        start = time.thread_time()
        run(ProposalBank(segmented.image, segmented.model).prepare(config))
        return time.thread_time() - start

    def in_worker() -> float:
        summary: list[float] = []
        worker = create_worker(build, _start_thread=False)
        worker.returned.connect(summary.append)
        worker.start()
        wait(lambda: bool(summary))
        return summary[0]

    build()
    here, there = [], []
    for _ in range(repeats):
        here.append(build())
        there.append(in_worker())
    return {
        "repeats": repeats,
        "gui_thread_cpu_s": round(statistics.median(here), 2),
        "worker_cpu_s": round(statistics.median(there), 2),
        "worker_over_gui_thread": round(statistics.median(there) / statistics.median(here), 2),
    }


if __name__ == "__main__":
    typer.run(main)
