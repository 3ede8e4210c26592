"""Clicks and time from an installed plugin to a preview and to a tuned result, on any image.

    tools/with_display.sh python -m benchmarks.first_run image.tif other.png
    tools/with_display.sh python -m benchmarks.first_run --theme light -o shots image.tif

Each image is opened in a new napari process with an empty cache. The buttons and a point of the
front are clicked with simulated mouse events. The report has the number of clicks (two for the
menu), and the seconds since the image was opened: wall time and processor time of the process, as
other work on the machine may slow it. With -o a picture of every step is saved.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

PLUGIN = "napari-samstar"
TIMEOUT = 900  # s


class Walkthrough:
    """A napari window with simulated clicks, which are counted and timed."""

    def __init__(self, image: Path, theme: str, size: str, out: Path | None) -> None:
        import napari

        self.out, self.name = out, image.stem
        self.viewer = napari.Viewer()
        self.viewer.theme = theme
        self.window = self.viewer.window._qt_window
        self.window.resize(*(int(n) for n in size.split("x")))
        self.clicks, self.steps = 0, {}
        self.pause(0.5)
        self.screenshot("0 empty")
        self.start, self.cpu = time.monotonic(), time.process_time()

    def record(self, step: str, **more: Any) -> None:
        """Record the clicks and the time up to a step."""
        self.steps[step] = {
            "clicks": self.clicks,
            "wall_s": round(time.monotonic() - self.start, 1),
            "processor_s": round(time.process_time() - self.cpu, 1),
            **more,
        }
        self.screenshot(step)

    def open_panel(self, name: str) -> Any:
        """Open a panel from the menu, with two clicks."""
        from napari_samstar.widgets.shell.docking import open_page

        self.clicks += 2
        return self.wait_until_built(open_page(self.viewer, name))

    def wait_until_built(self, shell: Any) -> Any:
        """Wait for the panel of a shell, and return it."""
        self.wait(lambda: shell.panel is not None)
        self.pause(0.1)
        return shell.panel

    def click_link(self, label: Any, name: str) -> Any:
        """Click on a link to another panel, and return the panel."""
        assert f"href='{name}'" in label.text(), label.text()
        self.clicks += 1
        label.linkActivated.emit(name)
        self.pause(0.2)
        docks = self.viewer.window.dock_widgets
        (found,) = [w for title, w in docks.items() if title.startswith(name)]
        return self.wait_until_built(found)

    def click(self, button: Any) -> None:
        """Click on the centre of a button."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        assert button.isVisible(), f"{button.text()} cannot be seen"
        assert button.isEnabled(), f"{button.text()} cannot be pressed"
        self.clicks += 1
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def click_point(self, plot: Any, x: float, y: float) -> None:
        """Click on a point of a plot, in data coordinates."""
        from qtpy.QtCore import QPointF, Qt
        from qtpy.QtTest import QTest

        at = plot.mapFromScene(plot.getViewBox().mapViewToScene(QPointF(x, y)))
        self.clicks += 1
        QTest.mouseMove(plot.viewport(), at)
        QTest.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=at)

    def profile(self, jobs: Any) -> Callable[[], dict[str, float]]:
        """Return a function that returns the processor time, s, by the text of the progress."""
        changes: list[tuple[str, float]] = []
        jobs.changed.connect(
            lambda status: changes.append((status.progress.text, time.process_time()))
        )

        def spent() -> dict[str, float]:
            total: dict[str, float] = {}
            ended = ("", time.process_time())
            for (text, start), (_, end) in itertools.pairwise([*changes, ended]):
                total[text] = total.get(text, 0.0) + end - start
            return {text: round(s, 1) for text, s in total.items() if s >= 0.1}

        return spent

    def wait(self, ready: Callable[[], bool]) -> None:
        """Process events until `ready()`."""
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + TIMEOUT
        while not ready():
            assert time.monotonic() < end, "napari did not get ready in time"
            QApplication.processEvents()
            time.sleep(0.005)

    def pause(self, seconds: float) -> None:
        """Process events for some seconds."""
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > end)

    def screenshot(self, step: str) -> None:
        """Save a picture of the window."""
        if self.out is not None:
            self.pause(0.8)
            folder = self.out / self.name
            folder.mkdir(parents=True, exist_ok=True)
            self.window.grab().save(str(folder / f"{step}.png"))


def run_walkthrough(image: Path, theme: str, size: str, out: Path | None) -> dict[str, Any]:
    """Segment, tune, choose and apply; return the records of the steps."""
    w = Walkthrough(image, theme, size, out)
    w.viewer.open(image, plugin="napari")
    segment = w.open_panel("Segment")
    controller = segment.controller
    w.pause(0.3)
    w.record("1 opened")
    spent = w.profile(controller.jobs)
    w.click(segment.run_button)
    w.wait(lambda: controller.session.selection is not None or "color" in segment.message.text())
    w.record("2 preview", objects=_object_count(controller), processor_s_of=spent())
    tune = w.click_link(segment.message, "Tune")
    w.record("3 Tune")
    w.click(tune.run_button)
    w.wait(lambda: len(controller.session.trials) > 0 and not controller.jobs.busy)
    front = w.click_link(tune.message, "Pareto front")
    w.record("4 tuned", settings=len(controller.session.trials))
    found = controller.session.front
    x, y = front._xy(found)
    w.click_point(front.plot, float(x[found.knee]), float(y[found.knee]))
    w.pause(0.3)
    assert controller.session.chosen is not None, "the click on the point chose nothing"
    w.record("5 chosen", objects=_object_count(controller))
    w.click(front.apply_button)
    w.pause(0.3)
    assert any(layer.name.endswith("objects") for layer in w.viewer.layers)
    w.record("6 applied")
    w.viewer.close()
    return w.steps


def _object_count(controller: Any) -> int:
    return 0 if controller.session.selection is None else len(controller.session.selection)


def main(
    images: Annotated[list[Path], typer.Argument()],
    theme: Annotated[str, typer.Option()] = "dark",
    size: Annotated[str, typer.Option()] = "1280x720",
    out: Annotated[Path | None, typer.Option("--out", "-o")] = None,
    in_this_process: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Walk through every image, and print one line of JSON for each."""
    if in_this_process:
        steps = run_walkthrough(images[0], theme, size, out)
        print(json.dumps({"image": images[0].name, "steps": steps}))
        return
    for image in images:
        with tempfile.TemporaryDirectory() as cache:
            options = ["--in-this-process", "--theme", theme, "--size", size]
            options += [] if out is None else ["-o", str(out)]
            command = [sys.executable, "-m", "benchmarks.first_run", *options, str(image)]
            subprocess.run(command, check=True, env={**os.environ, "SAMSTAR_CACHE": cache})


if __name__ == "__main__":
    typer.run(main)
