"""How long a thread works on after Stop, for each stage of every job.

    tools/with_display.sh python -m benchmarks.gui_stop vit_b

The panel and the registry's larger models: one of random weights, stopped at several moments of
its encoding, which takes many seconds on a CPU.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

# Nothing that an earlier run left behind may shorten this one.
os.environ.setdefault("SAMSTAR_CACHE", tempfile.mkdtemp())

import numpy as np
import typer

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
    load, bench.session.result = "Loading the model", None  # else the model is there already
    for k, stage in enumerate((load, ENCODE, DECODE)):
        bench.controller.cache().clear_memory()
        bench.layer.data = field(bench.side, seed=10 + k)
        bench.segment.run()
        found[stage] = _stopped(bench, _says(bench, stage))
    bench.job(bench.segment.run)
    tune = bench.tune.run_button
    tune.click()
    found[FACTS] = _stopped(bench, _says(bench, FACTS))
    tune.click()
    found["Trying settings"] = _stopped(bench, lambda: len(bench.session.trials) > 40)
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


def _stopped(bench: Bench, ready: Callable[[], bool], after: float = 0.05) -> dict[str, float]:
    """Press Stop when a stage has been `ready` for some seconds, in the middle of its step."""
    wait(lambda: ready() or not bench.jobs.busy)
    end = time.monotonic() + after
    wait(lambda: time.monotonic() > end or not ready())
    if not bench.jobs.busy or not ready():
        bench.jobs.stop()
        bench.idle()
        return {"was_over_too_soon": 1}
    start, cpu = time.perf_counter(), time.process_time()
    bench.jobs.stop()
    usable = time.perf_counter() - start
    wait(lambda: bench.jobs._running is None)
    return {
        "panel_usable_s": round(usable, 3),
        "thread_ended_s": round(time.perf_counter() - start, 2),
        "process_cpu_s": round(time.process_time() - cpu, 2),
    }


# --- a large model ----------------------------------------------------------------------------


def main(
    architecture: Annotated[str, typer.Argument()] = "vit_b",
    moments: Annotated[int, typer.Option(help="How often it is stopped.")] = 8,
    side: int = 512,
    threads: Annotated[int, typer.Option(help="Of torch.")] = 2,
) -> None:
    """Stop a large model of random weights, spread over the time that its encoding takes."""
    bench = Bench(side)
    bench.open_panels(4)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{architecture}.pth"
        _random(architecture, file, threads)
        bench.segment.model_form.show_model(str(file))
        whole = _encoding(bench, seed=1)
        stops = []
        for k in range(moments):
            after = whole * (k + 0.5) / moments
            bench.controller.cache().clear_memory()
            bench.layer.data = field(side, seed=10 + k)
            bench.segment.run()
            stops.append(_stopped(bench, _says(bench, ENCODE), after))
    bench.viewer.close()
    print(json.dumps(_summary(architecture, threads, whole, stops), indent=2))


def _random(architecture: str, file: Path, threads: int) -> None:
    """Write a checkpoint of random weights."""
    import torch
    from segment_anything import sam_model_registry

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    torch.save(sam_model_registry[architecture]().state_dict(), file)


def _encoding(bench: Bench, seed: int) -> float:
    """Return how long an encoding takes, s; the model is loaded by then."""
    bench.layer.data = field(bench.side, seed=seed)
    bench.segment.run()
    wait(lambda: _says(bench, ENCODE)() or not bench.jobs.busy)
    if not bench.jobs.busy:
        sys.exit(f"Nothing was encoded: {bench.segment.message.text()}")
    start = time.perf_counter()
    wait(lambda: not _says(bench, ENCODE)())
    took = time.perf_counter() - start
    bench.jobs.stop()
    bench.idle()
    return took


def _summary(
    architecture: str, threads: int, whole: float, stops: list[dict[str, float]]
) -> dict[str, Any]:
    counted = [s for s in stops if "thread_ended_s" in s]
    return {
        "architecture": architecture,
        "torch_threads": threads,
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "encoding_s": round(whole, 1),
        "stops": len(counted),
        "was_over_too_soon": len(stops) - len(counted),
        **{
            f"{name}_most": max(s[name] for s in counted)
            for name in ("panel_usable_s", "thread_ended_s", "process_cpu_s")
        },
        "thread_ended_s": [s["thread_ended_s"] for s in counted],
        "process_cpu_s": [s["process_cpu_s"] for s in counted],
    }


if __name__ == "__main__":
    typer.run(main)
