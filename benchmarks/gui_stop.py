"""Time from Stop to the end of the thread, for each stage of every job.

    tools/with_display.sh python -m benchmarks.gui_stop vit_b

As a script: a large model with random weights, stopped at several moments of the encoding, which
takes many seconds on a CPU.
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

# An empty cache, so that no earlier run shortens this one.
os.environ.setdefault("SAMSTAR_CACHE", tempfile.mkdtemp())

import numpy as np
import typer

from benchmarks.gui_rig import GuiRig, disc_image, settle, wait

Latencies = dict[str, dict[str, float]]

ENCODE, DECODE = "Encoding the image", "Decoding candidates"
CUES = "Looking for edges, spots and foreground"


def stop_at_start_up(rig: GuiRig) -> Latencies:
    """Stop while torch is imported; call it before torch is needed elsewhere."""
    rig.segment.run()
    return {"Starting PyTorch": _stop_when(rig, _progress_is(rig, "Starting PyTorch"))}


def stop_latency(rig: GuiRig) -> Latencies:
    """Stop at every other stage."""
    found: Latencies = {}
    rig.wait_until_idle()
    load, rig.session.result = "Loading the model", None  # so that the model is loaded again
    for k, stage in enumerate((load, ENCODE, DECODE)):
        rig.controller.cache().clear_memory()
        rig.layer.data = disc_image(rig.side, seed=10 + k)
        rig.segment.run()
        found[stage] = _stop_when(rig, _progress_is(rig, stage))
    rig.run_job(rig.segment.run)
    tune = rig.tune.run_button
    tune.click()
    found[CUES] = _stop_when(rig, _progress_is(rig, CUES))
    tune.click()
    found["Trying settings"] = _stop_when(rig, lambda: len(rig.session.trials) > 40)
    rig.tune.scope_box.setCurrentIndex(1)
    tune.click()
    found["Trying grids: SAM decodes"] = _stop_when(rig, _progress_is(rig, DECODE))
    rig.tune.scope_box.setCurrentIndex(0)
    found["Apply to all planes"] = _stack(rig)
    return found


def _stack(rig: GuiRig) -> dict[str, float]:
    planes = np.stack([disc_image(rig.side // 2, seed=k) for k in range(4)])
    stack = rig.viewer.add_image(planes, name="stack")
    box = rig.segment.image_form.layer_box
    box.setCurrentText("stack")
    rig.run_job(rig.segment.run)
    rig.segment.run_stack()
    latency = _stop_when(rig, _progress_is(rig, "Plane 2"))
    box.setCurrentText("field")
    rig.viewer.layers.remove(stack)
    settle(0.5)
    rig.run_job(rig.segment.run)
    return latency


def _progress_is(rig: GuiRig, text: str) -> Callable[[], bool]:
    return lambda: rig.jobs.status.progress.text.startswith(text)


def _stop_when(rig: GuiRig, ready: Callable[[], bool], after: float = 0.05) -> dict[str, float]:
    """Stop `after` some seconds of a stage, whose beginning `ready` detects; return the times."""
    wait(lambda: ready() or not rig.jobs.busy)
    end = time.monotonic() + after
    wait(lambda: time.monotonic() > end or not ready())
    if not rig.jobs.busy or not ready():
        rig.jobs.stop()
        rig.wait_until_idle()
        return {"was_over_too_soon": 1}
    start, cpu = time.perf_counter(), time.process_time()
    rig.jobs.stop()
    usable = time.perf_counter() - start
    wait(lambda: rig.jobs._running is None)
    return {
        "panel_usable_s": round(usable, 3),
        "thread_ended_s": round(time.perf_counter() - start, 2),
        "process_cpu_s": round(time.process_time() - cpu, 2),
    }


# --- a large model ----------------------------------------------------------------------------


def main(
    architecture: Annotated[str, typer.Argument()] = "vit_b",
    moments: Annotated[int, typer.Option(help="Number of stops.")] = 8,
    side: int = 512,
    threads: Annotated[int, typer.Option(help="Of torch.")] = 2,
) -> None:
    """Stop a large model with random weights at moments spread over its encoding time."""
    rig = GuiRig(side)
    rig.open_panels(4)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{architecture}.pth"
        _write_random_weights(architecture, file, threads)
        rig.segment.model_form.show_model(str(file))
        encoding = _encoding_seconds(rig, seed=1)
        stops = []
        for k in range(moments):
            after = encoding * (k + 0.5) / moments
            rig.controller.cache().clear_memory()
            rig.layer.data = disc_image(side, seed=10 + k)
            rig.segment.run()
            stops.append(_stop_when(rig, _progress_is(rig, ENCODE), after))
    rig.viewer.close()
    print(json.dumps(_summary(architecture, threads, encoding, stops), indent=2))


def _write_random_weights(architecture: str, file: Path, threads: int) -> None:
    """Write a checkpoint with random weights."""
    import torch
    from segment_anything import sam_model_registry

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    torch.save(sam_model_registry[architecture]().state_dict(), file)


def _encoding_seconds(rig: GuiRig, seed: int) -> float:
    """Return the time of an encoding, s; leaves the model loaded."""
    rig.layer.data = disc_image(rig.side, seed=seed)
    rig.segment.run()
    wait(lambda: _progress_is(rig, ENCODE)() or not rig.jobs.busy)
    if not rig.jobs.busy:
        sys.exit(f"Nothing was encoded: {rig.segment.message.text()}")
    start = time.perf_counter()
    wait(lambda: not _progress_is(rig, ENCODE)())
    seconds = time.perf_counter() - start
    rig.jobs.stop()
    rig.wait_until_idle()
    return seconds


def _summary(
    architecture: str, threads: int, encoding: float, stops: list[dict[str, float]]
) -> dict[str, Any]:
    completed = [s for s in stops if "thread_ended_s" in s]
    return {
        "architecture": architecture,
        "torch_threads": threads,
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "encoding_s": round(encoding, 1),
        "stops": len(completed),
        "was_over_too_soon": len(stops) - len(completed),
        **{
            f"{name}_most": max(s[name] for s in completed)
            for name in ("panel_usable_s", "thread_ended_s", "process_cpu_s")
        },
        "thread_ended_s": [s["thread_ended_s"] for s in completed],
        "process_cpu_s": [s["process_cpu_s"] for s in completed],
    }


if __name__ == "__main__":
    typer.run(main)
