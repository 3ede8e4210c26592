"""Take docs/images/correct.png: the Correct panel in a real window.

tools/with_display.sh python docs/make_correct_screenshot.py
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

os.environ["SAMSTAR_CACHE"] = tempfile.mkdtemp()

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_samstar import sample_data
from napari_samstar.widgets.shell.docking import open_page

OUT = Path(__file__).parent / "images" / "correct.png"
SAMPLE, N_ACCEPTED, TIMEOUT = "phase_cells", 2, 900  # s


def main() -> None:
    viewer = napari.Viewer()
    window = viewer.window._qt_window
    window.resize(1280, 800)
    image, truth, _ = sample_data.load(SAMPLE)
    layer = viewer.add_image(image, name=SAMPLE)
    segment = open_page(viewer, "Segment").finish()
    segment.settings.rows["points_per_side"].value = 12
    segment.run_button.click()
    controller = segment.controller
    wait(lambda: controller.session.result is not None and not controller.jobs.busy)
    panel = open_page(viewer, "Correct").finish()
    panel.start_button.setChecked(True)
    sizes = np.bincount(truth.ravel())
    whole = [v for v in np.argsort(-sizes[1:]) + 1 if sizes[v] < 4000][: N_ACCEPTED + 1]
    for k, value in enumerate(whole):
        correct(panel, layer, truth == value, 4)
        if k < N_ACCEPTED:
            panel.accept()
            settle(panel)
    middle = np.argwhere(truth == whole[-1]).mean(0)
    camera = getattr(viewer, "scene", viewer).camera
    camera.center, camera.zoom = (0.0, *middle), 2.5
    pause(1.5)
    OUT.parent.mkdir(exist_ok=True)
    window.grab().save(str(OUT))
    viewer.close()


def correct(panel, layer, truth, max_clicks: int) -> None:
    """Click on the largest error, up to `max_clicks` times, by the canvas's own callback."""
    from napari_samstar.core.interactive.next_click import next_click

    for _ in range(max_clicks):
        click = next_click(truth, panel.correction.mask, panel.correction.clicks)
        at = layer.data_to_world((click.row, click.col))
        event = SimpleNamespace(
            button=1 if click.positive else 2, pos=(5, 5), type="mouse_release", handled=False,
            dims_displayed=(0, 1), modifiers=(), position=at,
        )  # fmt: skip
        press = panel.viewer().mouse_drag_callbacks[-1](panel.viewer(), event)
        next(press)
        next(press, None)
        settle(panel)


def settle(panel) -> None:
    wait(lambda: not panel.click_queue.busy and not panel.training_queue.busy)


def wait(until) -> None:
    end = time.monotonic() + TIMEOUT
    while not until():
        assert time.monotonic() < end, "nothing happened for too long"
        pause(0.02)


def pause(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.005)


if __name__ == "__main__":
    main()
