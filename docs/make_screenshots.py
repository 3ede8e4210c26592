"""Take the pictures of the user guide from the running plugin: `make screenshots`.

Everything in them is real: the bundled model on a bundled sample, real buttons, a real window.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QDockWidget
from superqt import QCollapsible

from napari_samstar.widgets._front import FrontPanel
from napari_samstar.widgets._segment import SegmentPanel
from napari_samstar.widgets._tune import TunePanel

FOLDER = Path(__file__).parent / "images"
SAMPLE = "nuclei"
SIZE = (1500, 980)
PATIENCE = 900  # s


def main() -> None:
    viewer = napari.Viewer()
    window = viewer.window._qt_window
    window.resize(*SIZE)
    viewer.open_sample("napari-samstar", SAMPLE)
    segment, tune, front = SegmentPanel(viewer), TunePanel(viewer), FrontPanel(viewer)
    docks = {
        "segment": viewer.window.add_dock_widget(segment, name="Segment", area="right"),
        "tune": viewer.window.add_dock_widget(tune, name="Tune", area="right", tabify=True),
        "front": viewer.window.add_dock_widget(front, name="Pareto front", area="right"),
    }
    docks["segment"].raise_()
    window.resizeDocks([docks["segment"]], [440], Qt.Orientation.Horizontal)
    segment.findChild(QCollapsible).expand(animate=False)
    docks["front"].hide()
    segment.run_button.click()
    wait(lambda: segment.desk.session.segmented is not None)
    wait(lambda: not segment.desk.jobs.busy)
    viewer.reset_view()
    docks["segment"].raise_()
    shoot(window, "segment")

    docks["front"].show()
    docks["tune"].raise_()
    tune.budget_box.setValue(600)
    tune.run_button.click()
    wait(lambda: len(tune.desk.session.evaluations) > 250)
    share_height(window, docks)
    shoot(window, "tune")

    wait(lambda: not tune.desk.jobs.busy)
    front.knee_button.click()
    shoot(window, "front")

    front.apply_button.click()
    objects = viewer.layers[-1]
    wait(lambda: len(objects.features) > 0)
    shoot(window, "applied")
    viewer.close()


def wait(ready: Callable[[], bool]) -> None:
    """Let napari work until `ready`."""
    end = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > end:
            sys.exit("napari did not get ready in time")
        QApplication.processEvents()
        time.sleep(0.01)


def shoot(window: Any, name: str) -> None:
    """Save the window as docs/images/NAME.png once it has settled."""
    end = time.monotonic() + 1.0
    wait(lambda: time.monotonic() > end)
    FOLDER.mkdir(exist_ok=True)
    window.grab().save(str(FOLDER / f"{name}.png"))
    print(FOLDER / f"{name}.png")


def share_height(window: Any, docks: dict[str, QDockWidget]) -> None:
    """Give the plot more room than the weights."""
    window.resizeDocks([docks["tune"], docks["front"]], [410, 490], Qt.Orientation.Vertical)


if __name__ == "__main__":
    main()
