"""Walk through the running plugin and take the pictures of the user guide: `make screenshots`.

Everything in them is real: the bundled model on a bundled sample, real buttons, a real window.
Other themes, sizes and images go elsewhere, to be looked at:

    python docs/make_screenshots.py --theme light --size 1280x720 --out shots --image x.tif
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# A cache of its own: a journal of an earlier walk would offer to go on.
os.environ["SAMSTAR_CACHE"] = tempfile.mkdtemp()
sys.path.insert(0, str(Path(__file__).parents[1]))  # for `benchmarks`

import napari
from qtpy.QtWidgets import QApplication
from superqt import QCollapsible

from benchmarks.large import draw
from napari_samstar.widgets.shell.docking import open_page
from napari_samstar.widgets.viewer.controller import controller_of

FOLDER = Path(__file__).parent / "images"
GUIDE = "".join(page.read_text() for page in sorted(FOLDER.parent.glob("*.md")))
SAMPLE = "nanocrystals"
STACK = "nuclei_stack"
PLUGIN = "napari-samstar"
LARGE_SIDE = 3072  # px
PATIENCE = 900  # s


class Walk:
    """A viewer, its panels, and where the pictures go."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.folder: Path = options.out
        self.image: Path | None = options.image
        self.points: int = options.points
        self.viewer = napari.Viewer()
        self.viewer.theme = options.theme
        self.window = self.viewer.window._qt_window
        width, height = (int(n) for n in options.size.split("x"))
        self.window.resize(width, height)
        self.clicks = 0

    def panel(self, name: str) -> Any:
        """Open a panel from the plugin's menu, or bring it to the front."""
        shell = open_page(self.viewer, name)
        wait(lambda: shell.panel is not None)
        pause(0.2)
        return shell.panel

    def click(self, button: Any) -> None:
        """Press a button as a user would, and count it."""
        assert button.isEnabled(), button.text()
        button.click()
        self.clicks += 1

    def idle(self) -> None:
        jobs = controller_of(self.viewer).jobs
        wait(lambda: not jobs.busy and jobs._running is None)

    def shoot(self, name: str) -> None:
        """Save the window as NAME.png once it has settled; into docs/ only what the guide shows."""
        pause(1.0)
        if self.folder == FOLDER and f"images/{name}.png" not in GUIDE:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}.png"
        self.window.grab().save(str(path))
        print(path, flush=True)


def main() -> None:
    """Take every picture of the guide."""
    walk = Walk(arguments())
    segment = walk.panel("Segment")
    walk.shoot("start")
    segment.settings.rows["points_per_side"].value = walk.points
    start = time.monotonic()
    if walk.image is None:
        walk.viewer.open_sample(PLUGIN, SAMPLE)
    else:
        walk.viewer.open(walk.image)
    wait(lambda: not segment.image_form.thumbnail.pixmap().isNull())
    walk.shoot("ready")
    walk.click(segment.run_button)
    wait(lambda: segment.controller.session.result is not None or "color" in segment.message.text())
    walk.idle()
    walk.viewer.reset_view()
    print(
        f"first preview after {time.monotonic() - start:.0f} s and {walk.clicks} click", flush=True
    )
    segment.findChild(QCollapsible).expand(animate=False)
    walk.shoot("segment")
    segment.findChild(QCollapsible).collapse(animate=False)
    missing(walk)
    tuned(walk)
    results(walk)
    if walk.image is None:
        whole_stack(walk)
        large_image(walk)
    walk.viewer.close()


def missing(walk: Walk) -> None:
    """Ask why an object is missing, after a setting was made too strict."""
    why = walk.panel("Why is it missing?")
    session = why.controller.session
    walk.click(why.pick_button)
    session.show(session.config.replace(pred_iou_thresh=0.97))
    pause(0.5)
    best = session.result.selection
    ids = [i for i in best.candidates.tolist() if i not in session.selection.candidates]
    mask = session.result.bank.masks.dense(ids[0])
    rows, cols = mask.nonzero()
    why.explain_at((int(rows[len(rows) // 2]), int(cols[len(cols) // 2])))
    wait(lambda: bool(why.findings))
    wait(lambda: why.loosen_button.isEnabled() or "No filter" in why.details.text())
    walk.shoot("why")
    walk.click(why.keep_button)
    pause(0.5)
    why.controller.history.undo()
    session.show(session.result.selection.config)
    why.pick_button.setChecked(False)


def tuned(walk: Walk) -> None:
    """Tune, look at the front, compare two of its points."""
    tune = walk.panel("Tune")
    walk.shoot("tune")
    tune.budget_box.setValue(400)
    walk.click(tune.run_button)
    front = walk.panel("Pareto front")
    wait(lambda: len(tune.controller.session.trials) > 150)
    walk.shoot("growing")
    walk.idle()
    walk.click(front.best_button)
    walk.shoot("front")
    front.choose(front.controller.session.front.defaults)
    front.compare(front.controller.session.front.best)
    walk.shoot("compare")
    walk.click(front.best_button)


def results(walk: Walk) -> None:
    """Apply, and look at the measurements."""
    front = walk.panel("Pareto front")
    walk.click(front.apply_button)
    table = walk.panel("Results")
    wait(lambda: table.model.rowCount() > 0)
    pause(0.5)  # until the panel has its final size
    labels = table.model.table["index"]
    table.choose(int(labels.iloc[len(labels) // 3]), move_to=True)
    walk.viewer.reset_view()
    walk.shoot("results")


def whole_stack(walk: Walk) -> None:
    """Segment one plane of a stack, then all of them."""
    walk.viewer.layers.clear()
    walk.viewer.open_sample(PLUGIN, STACK)
    segment = walk.panel("Segment")
    pause(0.5)
    walk.click(segment.run_button)
    walk.idle()
    walk.click(segment.stack_button)
    name = f"{segment.image_form.layer().name} objects"
    wait(lambda: name in walk.viewer.layers)
    shown = walk.viewer.dims.current_step[0]
    wait(lambda: walk.viewer.layers[name].data[shown].any())
    walk.shoot("stack")
    walk.idle()
    several_planes(walk)


def several_planes(walk: Walk) -> None:
    """Tune on two planes of the stack, with a third one held out."""
    tune = walk.panel("Tune")
    form, shown = tune.extra_images_form, walk.viewer.dims.current_step[0]
    tune.extra_images_section.expand(animate=False)
    form.tuned_field.setText(f"{max(0, shown - 2)}")
    form.held_field.setText(f"{shown + 2}")
    tune.budget_box.setValue(200)
    walk.click(tune.run_button)
    walk.idle()
    wait(lambda: "→" in tune.held_out.text.text())
    tune.scroll.ensureWidgetVisible(tune.held_out)
    walk.shoot("several")


def large_image(walk: Walk) -> None:
    """Segment an image that is cut into tiles, and look at it half-way."""
    walk.viewer.layers.clear()
    with tempfile.TemporaryDirectory() as folder:
        path, _ = draw(LARGE_SIDE, Path(folder))
        walk.viewer.open(path)
    segment = walk.panel("Segment")
    wait(lambda: not segment.image_form.thumbnail.pixmap().isNull())
    walk.click(segment.run_button)
    jobs = segment.controller.jobs
    wait(lambda: jobs.status.progress.done > 0.4 * jobs.status.progress.total > 10)
    walk.shoot("tiles")
    walk.click(segment.job_bar.stop)
    walk.idle()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--theme", default="dark")
    parser.add_argument("--size", default="1500x980")
    parser.add_argument("--points", type=int, default=32, help="fewer on a slow machine")
    parser.add_argument("--image", type=Path, help="instead of the sample, to be looked at")
    return parser.parse_args()


def wait(ready: Callable[[], bool]) -> None:
    """Let napari work until `ready`."""
    end = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > end:
            sys.exit("napari did not get ready in time")
        QApplication.processEvents()
        time.sleep(0.01)


def pause(seconds: float) -> None:
    """Let napari work for a while."""
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end)


if __name__ == "__main__":
    main()
