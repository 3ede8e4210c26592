"""Mark rods among spheres as good examples, tune, and take the picture of the user guide.

    python docs/make_examples_screenshot.py

Everything in it is real: see `make_screenshots`. The image is one of `benchmarks.shapes`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from make_screenshots import Walk, arguments, wait

from benchmarks.shapes import scene

SCENE = 2  # with about the mean F1 of that benchmark
RODS, ASPECT = 3, 4.5


def main() -> None:
    """Take the picture."""
    walk = Walk(arguments())
    image, _, _ = scene(SCENE)
    walk.viewer.add_image(image, name="rods and spheres")
    segment = walk.panel("Segment")
    walk.click(segment.run_button)
    walk.idle()
    walk.click(segment.apply_button)
    results = walk.panel("Results")
    wait(lambda: results.model.rowCount() > 0)
    table = results.model.table
    likely = (table["aspect_ratio"] - ASPECT).abs().argsort()
    for label in table["index"].iloc[likely].iloc[:RODS]:
        results.choose(int(label))
        walk.click(results.examples.button)
    walk.shoot("marking")
    tune = walk.panel("Tune")
    walk.click(tune.run_button)
    walk.idle()
    front = walk.panel("Pareto front")
    walk.click(front.best_button)
    for layer in walk.viewer.layers:
        layer.visible = layer.name in ("rods and spheres", "SAM* preview", "good examples")
    walk.viewer.reset_view()
    walk.panel("Tune")
    walk.shoot("examples")
    walk.viewer.close()


if __name__ == "__main__":
    main()
