"""Draw docs/images/correcting.png: a failure, its correction, and the next object afterwards.

    python docs/make_correcting_figure.py

On a bundled sample, with its ground truth as the simulated user. Prints the clicks needed, and
what one click on other objects gives before and after learning.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch

from napari_samstar import sample_data
from napari_samstar.core.adapt import Adaptation, Example
from napari_samstar.core.click_simulator import iou, next_click, simulate
from napari_samstar.core.clicks import ClickSession, Prompt, predict
from napari_samstar.core.encoder import encode
from napari_samstar.core.images import prepare
from napari_samstar.core.models import load

mpl.use("Agg")
from matplotlib import pyplot as plt

SAMPLE, TARGET, MOST, ACCEPTED = "phase_cells", 0.85, 10, 6
OUT = Path(__file__).parent / "images" / "correcting.png"


def main() -> None:
    torch.set_num_threads(1)
    model = load("pocket", "cpu")
    image, truth, _ = sample_data.load(SAMPLE)
    micrograph = prepare(image, name=SAMPLE)
    embedding = encode(model, micrograph.rgb)
    objects = [truth == v for v in np.unique(truth)[1:]]
    objects = [m for m in objects if m.sum() > 150]
    first = [_first(model, embedding, m) for m in objects]
    hard = [k for k in np.argsort(first) if first[k] < TARGET]
    adaptation, shown = Adaptation(model), None
    for k in hard[: 2 * ACCEPTED : 2]:
        session = ClickSession(adaptation.begin(), embedding)
        ious = list(simulate(session, objects[k], MOST, TARGET))
        if ious[-1] < TARGET:
            continue
        if shown is None or abs(len(ious) - 3) < abs(len(shown.steps) - 3):
            shown = session
        for _ in adaptation.accept(Example(embedding, session.steps, session.step.prediction.mask)):
            pass
        print(f"object {k}: {len(ious)} clicks; {adaptation.text}")
    rest = hard[1 : 2 * ACCEPTED : 2]
    gain = {k: _first(adaptation.model, embedding, objects[k]) - first[k] for k in rest}
    best = max(gain, key=lambda k: gain[k])
    for k in rest:
        print(f"object {k}, one click: IoU {first[k]:.2f} -> {first[k] + gain[k]:.2f}")
    _draw(micrograph.rgb, shown, objects[best], model, adaptation.model, embedding)


def _first(model, embedding, truth) -> float:
    click = next_click(truth)
    return iou(predict(model, embedding, Prompt((click,))).mask, truth)


def _draw(rgb, session, other, before, after, embedding) -> None:
    click = next_click(other)
    answers = [predict(m, embedding, Prompt((click,))).mask for m in (before, after)]
    panels = [
        ("One click: SAM fails", session.steps[0].prediction.mask, session.steps[0].prompt.clicks),
        (
            f"{len(session.steps)} clicks: corrected",
            session.step.prediction.mask,
            session.step.prompt.clicks,
        ),
        (f"Next object, original: IoU {iou(answers[0], other):.2f}", answers[0], (click,)),
        (f"Next object, adapted: IoU {iou(answers[1], other):.2f}", answers[1], (click,)),
    ]
    figure, axes = plt.subplots(1, 4, figsize=(11, 3.1), layout="constrained")
    for k, (axis, (title, mask, clicks)) in enumerate(zip(axes, panels, strict=True)):
        middle = np.argwhere(session.step.prediction.mask if k < 2 else other).mean(0)
        axis.imshow(rgb)
        axis.contour(mask, [0.5], colors="#4fb0c6", linewidths=2)
        for c in clicks:
            colour = "#5fc36b" if c.positive else "#e0605a"
            axis.plot(c.col, c.row, "o", color=colour, markeredgecolor="white", markersize=7)
        axis.set(title=title, xticks=[], yticks=[])
        axis.set_xlim(middle[1] - 60, middle[1] + 60)
        axis.set_ylim(middle[0] + 60, middle[0] - 60)
        axis.title.set_fontsize(10)
    figure.savefig(OUT, dpi=110)


if __name__ == "__main__":
    main()
