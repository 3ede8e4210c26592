"""Latency from a click on the canvas to its mask, idle and during training, in a real napari.

    tools/with_display.sh python -m benchmarks.clicks_gui > clicks_gui.json

A click goes through the canvas's own callback; it ends when the outline layer shows the new mask.
The model's share, after the image is encoded, is measured on the click's thread. Wall time includes
other work on the machine, so processor time is reported too: of the click's thread, and of the GUI
thread from the click to the mask, waiting included.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from types import SimpleNamespace
from typing import Annotated, Any

os.environ["SAMSTAR_CACHE"] = tempfile.mkdtemp()

import napari
import numpy as np
import torch
import typer
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication

from napari_samstar import sample_data
from napari_samstar.core.interactive.next_click import next_click
from napari_samstar.widgets.shell.docking import open_page

SAMPLE, TIMEOUT = "phase_cells", 600  # s


MODEL_METHODS = ("predict", "encode_prompt", "decode_all", "upscale")


class ClickTimer:
    """Times of the latest click on its thread, s.

    Attributes
    ----------
    model, model_cpu : float
        Wall and processor time of the model's prompt encoder and mask decoder, resizing included.
    thread, thread_cpu : float
        Wall and processor time of everything on the thread.
    """

    def __init__(self, panel: Any, backend: Any) -> None:
        self.reset()
        self._thread_id = 0
        # On the class, so that adapted models are timed as well
        for name in MODEL_METHODS:
            setattr(type(backend), name, self._timed(getattr(type(backend), name)))
        self._compute_click = panel.correction.compute_click
        panel.correction.compute_click = self._timed_click

    def reset(self) -> None:
        """Set all times to 0 before a new click."""
        self.model = self.model_cpu = self.thread = self.thread_cpu = 0.0

    def _timed(self, method: Any) -> Any:
        def timed(*args: Any, **more: Any) -> Any:
            began, cpu = time.perf_counter(), time.thread_time()
            result = method(*args, **more)
            if threading.get_ident() == self._thread_id:
                self.model += time.perf_counter() - began
                self.model_cpu += time.thread_time() - cpu
            return result

        return timed

    def _timed_click(self, *args: Any, **more: Any) -> Any:
        self._thread_id = threading.get_ident()
        began, cpu = time.perf_counter(), time.thread_time()
        result = self._compute_click(*args, **more)
        self.thread = time.perf_counter() - began
        self.thread_cpu = time.thread_time() - cpu
        self._thread_id = 0
        return result


def main(objects: Annotated[int, typer.Option()] = 8, clicks: int = 4, threads: int = 1) -> None:
    torch.set_num_threads(threads)
    viewer = napari.Viewer()
    image, truth, _ = sample_data.load(SAMPLE)
    layer = viewer.add_image(image, name=SAMPLE)
    segment = open_page(viewer, "Segment").finish()
    segment.settings.rows["points_per_side"].value = 8
    segment.run_button.click()
    controller = segment.controller
    wait(lambda: controller.session.result is not None and not controller.jobs.busy)
    panel = open_page(viewer, "Correct").finish()
    panel.start_button.setChecked(True)
    timer = ClickTimer(panel, controller.session.result.model.backend)
    sizes = np.bincount(truth.ravel())
    values = (np.argsort(-sizes[1:]) + 1)[: objects + 1]
    rows: dict[str, list[dict[str, float]]] = {"idle": [], "while training": []}
    for value in values:
        for _ in range(clicks):
            was_training = panel.training_queue.busy
            row = click_once(panel, layer, truth == value, timer)
            if row is None:
                break
            if not was_training:
                rows["idle"].append(row)
            elif panel.training_queue.busy:  # training lasted through the whole click
                rows["while training"].append(row)
        if panel.correction.mask is not None:
            panel.accept()  # the next object is clicked while the decoder is trained on this one
        if value == values[objects // 2]:
            wait(lambda: not panel.training_queue.busy)
            panel.learn_form.learn_box.setChecked(False)  # the rest is idle
    wait(lambda: not panel.training_queue.busy)
    report: dict[str, Any] = {"cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    for name, found in rows.items():
        report[name] = {"clicks": len(found), **summary(found)}
    print(json.dumps(report, indent=1))
    viewer.close()


def click_once(
    panel: Any, layer: Any, truth: np.ndarray, timer: ClickTimer
) -> dict[str, float] | None:
    """Click on the largest error and return the times, s; None where there is no error."""
    click = next_click(truth, panel.correction.mask, panel.correction.clicks)
    if click is None:
        return None
    event = SimpleNamespace(
        button=1 if click.positive else 2, pos=(5, 5), type="mouse_release", handled=False,
        dims_displayed=(0, 1), modifiers=(), position=layer.data_to_world((click.row, click.col)),
    )  # fmt: skip
    timer.reset()
    press = panel.viewer().mouse_drag_callbacks[-1](panel.viewer(), event)
    next(press)
    began, gui = time.perf_counter(), time.thread_time()
    next(press, None)
    wait(lambda: not panel.click_queue.busy)
    total, gui = time.perf_counter() - began, time.thread_time() - gui
    return {
        "to_mask": total,
        "model": timer.model,
        "beyond_model": total - timer.model,
        "click_thread": timer.thread,
        "click_thread_cpu": timer.thread_cpu,
        "model_cpu": timer.model_cpu,
        "gui_cpu": gui,
        "beyond_model_cpu": timer.thread_cpu - timer.model_cpu + gui,
    }


def summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Return the median and 95th percentile of each time, ms."""
    return {
        key: {
            "median_ms": round(1e3 * float(np.median([r[key] for r in rows])), 1),
            "p95_ms": round(1e3 * float(np.quantile([r[key] for r in rows], 0.95)), 1),
        }
        for key in (rows[0] if rows else ())
    }


def wait(until: Any) -> None:
    """Run the event loop until a condition holds; it sleeps between events.

    Polling would take the interpreter lock from the click's thread.
    """
    end = time.monotonic() + TIMEOUT
    alarm = QTimer()
    alarm.start(100)  # ms; the condition may become true without an event
    while not until():
        assert time.monotonic() < end, "nothing happened for too long"
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)


if __name__ == "__main__":
    typer.run(main)
