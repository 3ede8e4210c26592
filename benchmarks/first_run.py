"""How far is it from an installed plugin to a preview, to a tuned result, on one's own image?

    tools/with_display.sh python -m benchmarks.first_run image.tif other.png
    tools/with_display.sh python -m benchmarks.first_run --theme light -o shots image.tif

For each image a fresh napari with an empty cache, in a process of its own. The mouse clicks on
the real buttons and on a point of the real front. Counted are clicks, the two for the menu among
them, and seconds from the drop of the image: wall time, and this process's processor time, which
tells how much of it was other work on the machine. With -o a picture of every step.
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
PATIENCE = 900  # s


class Walk:
    """A napari window, a mouse, and a stop watch."""

    def __init__(self, image: Path, theme: str, size: str, out: Path | None) -> None:
        import napari

        self.out, self.name = out, image.stem
        self.viewer = napari.Viewer()
        self.viewer.theme = theme
        self.window = self.viewer.window._qt_window
        self.window.resize(*(int(n) for n in size.split("x")))
        self.clicks, self.steps = 0, {}
        self.pause(0.5)
        self.shoot("0 empty")
        self.start, self.cpu = time.monotonic(), time.process_time()

    def note(self, step: str, **more: Any) -> None:
        """Write down how far it is to here."""
        self.steps[step] = {
            "clicks": self.clicks,
            "wall_s": round(time.monotonic() - self.start, 1),
            "processor_s": round(time.process_time() - self.cpu, 1),
            **more,
        }
        self.shoot(step)

    def menu(self, name: str) -> Any:
        """Open a panel from the menu: one click opens it, one chooses."""
        self.clicks += 2
        return self.built(self.viewer.window.add_plugin_dock_widget(PLUGIN, name)[1])

    def built(self, shell: Any) -> Any:
        """Wait until a panel is there."""
        self.wait(lambda: shell.panel is not None)
        self.pause(0.1)
        return shell.panel

    def follow(self, label: Any, name: str) -> Any:
        """Click on a link to another panel."""
        assert f"href='{name}'" in label.text(), label.text()
        self.clicks += 1
        label.linkActivated.emit(name)
        self.pause(0.2)
        docks = self.viewer.window.dock_widgets
        (found,) = [w for title, w in docks.items() if title.startswith(name)]
        return self.built(found)

    def press(self, button: Any) -> None:
        """Click on a button in the middle, as the mouse does."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        assert button.isVisible(), f"{button.text()} cannot be seen"
        assert button.isEnabled(), f"{button.text()} cannot be pressed"
        self.clicks += 1
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def press_point(self, plot: Any, x: float, y: float) -> None:
        """Click on a point of a plot."""
        from qtpy.QtCore import QPointF, Qt
        from qtpy.QtTest import QTest

        at = plot.mapFromScene(plot.getViewBox().mapViewToScene(QPointF(x, y)))
        self.clicks += 1
        QTest.mouseMove(plot.viewport(), at)
        QTest.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=at)

    def watch(self, jobs: Any) -> Callable[[], dict[str, float]]:
        """Return a function that tells how much processor time each kind of work has taken."""
        seen: list[tuple[str, float]] = []
        jobs.changed.connect(
            lambda status: seen.append((status.progress.text, time.process_time()))
        )

        def spent() -> dict[str, float]:
            total: dict[str, float] = {}
            for (text, start), (_, end) in itertools.pairwise([*seen, ("", time.process_time())]):
                total[text] = total.get(text, 0.0) + end - start
            return {text: round(s, 1) for text, s in total.items() if s >= 0.1}

        return spent

    def wait(self, ready: Callable[[], bool]) -> None:
        """Let napari work until `ready`."""
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < end, "napari did not get ready in time"
            QApplication.processEvents()
            time.sleep(0.005)

    def pause(self, seconds: float) -> None:
        """Let napari work for a while."""
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > end)

    def shoot(self, step: str) -> None:
        """Save the window."""
        if self.out is not None:
            self.pause(0.8)
            folder = self.out / self.name
            folder.mkdir(parents=True, exist_ok=True)
            self.window.grab().save(str(folder / f"{step}.png"))


def walk(image: Path, theme: str, size: str, out: Path | None) -> dict[str, Any]:
    """Segment, tune, choose and apply, as a new user would."""
    w = Walk(image, theme, size, out)
    w.viewer.open(image, plugin="napari")
    segment = w.menu("Segment")
    controller = segment.controller
    w.pause(0.3)
    w.note("1 opened")
    spent = w.watch(controller.jobs)
    w.press(segment.run_button)
    w.wait(lambda: controller.session.selection is not None or "color" in segment.message.text())
    w.note("2 preview", objects=_found(controller), processor_s_of=spent())
    tune = w.follow(segment.message, "Tune")
    w.note("3 Tune")
    w.press(tune.run_button)
    w.wait(lambda: len(controller.session.trials) > 0 and not controller.jobs.busy)
    front = w.follow(tune.message, "Pareto front")
    w.note("4 tuned", settings=len(controller.session.trials))
    found = controller.session.front
    x, y = front._xy(found)
    w.press_point(front.plot, float(x[found.knee]), float(y[found.knee]))
    w.pause(0.3)
    assert controller.session.chosen is not None, "the click on the point chose nothing"
    w.note("5 chosen", objects=_found(controller))
    w.press(front.apply_button)
    w.pause(0.3)
    assert any(layer.name.endswith("objects") for layer in w.viewer.layers)
    w.note("6 applied")
    w.viewer.close()
    return w.steps


def _found(controller: Any) -> int:
    return 0 if controller.session.selection is None else len(controller.session.selection)


def main(
    images: Annotated[list[Path], typer.Argument()],
    theme: Annotated[str, typer.Option()] = "dark",
    size: Annotated[str, typer.Option()] = "1280x720",
    out: Annotated[Path | None, typer.Option("--out", "-o")] = None,
    here: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Walk through every image, and print one line of JSON for each."""
    if here:
        print(json.dumps({"image": images[0].name, "steps": walk(images[0], theme, size, out)}))
        return
    for image in images:
        with tempfile.TemporaryDirectory() as cache:
            more = [] if out is None else ["-o", str(out)]
            command = [sys.executable, "-m", "benchmarks.first_run", "--here", "--theme", theme]
            command += ["--size", size, *more, str(image)]
            subprocess.run(command, check=True, env={**os.environ, "SAMSTAR_CACHE": cache})


if __name__ == "__main__":
    typer.run(main)
