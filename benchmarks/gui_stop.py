"""How long a thread works on after Stop, for each stage of every job."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks.gui_rig import Bench, field, settle, wait

Latencies = dict[str, dict[str, float]]

ENCODE, DECODE = "Encoding the image", "Asking SAM for candidates"
FACTS = "Looking for edges, spots and foreground"


def stop_at_start_up(bench: Bench) -> Latencies:
    """Stop while torch is imported; call it before anything needed torch."""
    bench.segment.run()
    return {"Starting PyTorch": _stopped(bench, _says(bench, "Starting PyTorch"))}


def stop_latency(bench: Bench) -> Latencies:
    """Stop at every other stage."""
    found: Latencies = {}
    bench.idle()
    load, bench.session.segmented = "Loading the model", None  # else the model is there already
    for k, stage in enumerate((load, ENCODE, DECODE)):
        bench.desk.cache().clear_memory()
        bench.layer.data = field(bench.side, seed=10 + k)
        bench.segment.run()
        found[stage] = _stopped(bench, _says(bench, stage))
    bench.job(bench.segment.run)
    tune = bench.tune.run_button
    tune.click()
    found[FACTS] = _stopped(bench, _says(bench, FACTS))
    tune.click()
    found["Trying settings"] = _stopped(bench, lambda: len(bench.session.evaluations) > 40)
    bench.tune.scope_box.setCurrentIndex(1)
    tune.click()
    found["Trying grids: SAM decodes"] = _stopped(bench, _says(bench, DECODE))
    bench.tune.scope_box.setCurrentIndex(0)
    found["Apply to all planes"] = _stack(bench)
    return found


def _stack(bench: Bench) -> dict[str, float]:
    planes = np.stack([field(bench.side // 2, seed=k) for k in range(4)])
    stack = bench.viewer.add_image(planes, name="stack")
    box = bench.segment.image_form.layer_box
    box.setCurrentText("stack")
    bench.job(bench.segment.run)
    bench.segment.run_stack()
    latency = _stopped(bench, _says(bench, "Plane 2"))
    box.setCurrentText("field")
    bench.viewer.layers.remove(stack)
    settle(0.5)
    bench.job(bench.segment.run)
    return latency


def _says(bench: Bench, text: str) -> Callable[[], bool]:
    return lambda: bench.jobs.status.progress.text.startswith(text)


def _stopped(bench: Bench, ready: Callable[[], bool]) -> dict[str, float]:
    """Press Stop as soon as a stage is `ready`, and in the middle of its next step."""
    wait(lambda: ready() or not bench.jobs.busy)
    if not bench.jobs.busy:
        return {"was_over_too_soon": 1}
    settle(0.05)
    start, cpu = time.perf_counter(), time.process_time()
    bench.jobs.stop()
    usable = time.perf_counter() - start
    wait(lambda: bench.jobs._running is None)
    return {
        "panel_usable_s": round(usable, 3),
        "thread_ended_s": round(time.perf_counter() - start, 2),
        "process_cpu_s": round(time.process_time() - cpu, 2),
    }
