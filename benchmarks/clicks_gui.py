"""From a click on the canvas to its mask there, idle and while SAM learns, in a real napari.

    tools/with_display.sh python -m benchmarks.clicks_gui > clicks_gui.json

A click goes through the canvas's own callback; it ends when the outline layer holds the answer.
What SAM's prompt encoder and mask decoder take, in the click's own thread, is measured beside it.
Wall time counts what else runs on the machine, so processor time stands there, too: of the click's
thread, and of the GUI thread from the click to the mask, waiting included.
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

SAMPLE, PATIENCE = "phase_cells", 600


class Clock:
    """Wall and processor seconds in the thread of a click.

    `decoder` is what SAM itself does after the image is encoded, prompt encoder and mask decoder;
    `answer` all that is done there.
    """

    def __init__(self, panel: Any, sam: Any) -> None:
        self.decoder, self.decoder_cpu, self.answer, self.spent = 0.0, 0.0, 0.0, 0.0
        self.thread = 0
        # On the classes: the adapted copy of a decoder is timed as well.
        for kind, name in ((type(sam.mask_decoder), "predict_masks"),
                           (type(sam.prompt_encoder), "forward")):  # fmt: skip
            setattr(kind, name, self._timed(getattr(kind, name)))
        self._ask = panel.correcting.ask_click
        panel.correcting.ask_click = self._timed_ask

    def _timed(self, run: Any) -> Any:
        def timed(*args: Any, **more: Any) -> Any:
            began, cpu = time.perf_counter(), time.thread_time()
            result = run(*args, **more)
            if threading.get_ident() == self.thread:
                self.decoder += time.perf_counter() - began
                self.decoder_cpu += time.thread_time() - cpu
            return result

        return timed

    def _timed_ask(self, *args: Any, **more: Any) -> Any:
        self.thread = threading.get_ident()
        began, wall = time.thread_time(), time.perf_counter()
        result = self._ask(*args, **more)
        self.spent = time.thread_time() - began
        self.answer = time.perf_counter() - wall
        self.thread = 0
        return result


def main(objects: Annotated[int, typer.Option()] = 8, clicks: int = 4, threads: int = 1) -> None:
    torch.set_num_threads(threads)
    viewer = napari.Viewer()
    image, truth, _ = sample_data.load(SAMPLE)
    layer = viewer.add_image(image, name=SAMPLE)
    segment = viewer.window.add_plugin_dock_widget("napari-samstar", "Segment")[1].finish()
    segment.settings.rows["points_per_side"].value = 8
    segment.run_button.click()
    wait(
        lambda: (
            segment.controller.session.result is not None and not segment.controller.jobs.busy
        )
    )
    panel = viewer.window.add_plugin_dock_widget("napari-samstar", "Correct")[1].finish()
    panel.start_button.setChecked(True)
    clock = Clock(panel, segment.controller.session.result.model.sam)
    sizes = np.bincount(truth.ravel())
    values = (np.argsort(-sizes[1:]) + 1)[: objects + 1]
    rows: dict[str, list[dict[str, float]]] = {"idle": [], "while learning": []}
    for value in values:
        for _ in range(clicks):
            busy = panel.training_targets.busy
            row = one(panel, layer, truth == value, clock)
            if row is None:
                break
            if not busy:
                rows["idle"].append(row)
            elif panel.training_targets.busy:  # else the lesson ended meanwhile
                rows["while learning"].append(row)
        if panel.correcting.mask is not None:
            panel.accept()  # the next object is clicked at once, while this one is learned
        if value == values[objects // 2]:
            wait(lambda: not panel.training_targets.busy)
            panel.learn_form.learn_box.setChecked(False)  # the rest is idle
    wait(lambda: not panel.training_targets.busy)
    report: dict[str, Any] = {"cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    for name, found in rows.items():
        report[name] = {"clicks": len(found), **summary(found)}
    print(json.dumps(report, indent=1))
    viewer.close()


def one(panel: Any, layer: Any, truth: np.ndarray, clock: Clock) -> dict[str, float] | None:
    click = next_click(truth, panel.correcting.mask, panel.correcting.clicks)
    if click is None:
        return None
    event = SimpleNamespace(
        button=1 if click.positive else 2, pos=(5, 5), type="mouse_release", handled=False,
        dims_displayed=(0, 1), modifiers=(), position=layer.data_to_world((click.row, click.col)),
    )  # fmt: skip
    clock.decoder = clock.decoder_cpu = 0.0
    press = panel.viewer().mouse_drag_callbacks[-1](panel.viewer(), event)
    next(press)
    began, gui = time.perf_counter(), time.thread_time()
    next(press, None)
    wait(lambda: not panel.answers.busy)
    total, gui = time.perf_counter() - began, time.thread_time() - gui
    return {
        "to_mask": total,
        "decoder": clock.decoder,
        "beyond_decoder": total - clock.decoder,
        "answer": clock.answer,
        "answer_cpu": clock.spent,
        "decoder_cpu": clock.decoder_cpu,
        "gui_cpu": gui,
        "beyond_decoder_cpu": clock.spent - clock.decoder_cpu + gui,
    }


def summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Median and 95th percentile, ms."""
    return {
        key: {
            "median_ms": round(1e3 * float(np.median([r[key] for r in rows])), 1),
            "p95_ms": round(1e3 * float(np.quantile([r[key] for r in rows], 0.95)), 1),
        }
        for key in (rows[0] if rows else ())
    }


def wait(until: Any) -> None:
    """Run the event loop as a real session does: asleep until something happens.

    Asking over and over instead would take the interpreter lock from the click's own thread.
    """
    end = time.monotonic() + PATIENCE
    alarm = QTimer()
    alarm.start(100)  # ms; ends the sleep where what is waited for makes no event
    while not until():
        assert time.monotonic() < end, "nothing happened for too long"
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)


if __name__ == "__main__":
    typer.run(main)
