"""Draw docs/images/correcting.png: a failure, its correction, and another object after adaptation.

    python docs/make_correcting_figure.py

The simulated user clicks by the ground truth of a bundled sample. Prints the clicks needed before
and after adaptation, on objects that were not learned from.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch

from napari_samstar import sample_data
from napari_samstar.core.adaptation.online import Adaptation
from napari_samstar.core.adaptation.targets import Example
from napari_samstar.core.image.prepare import prepare
from napari_samstar.core.interactive.click_session import ClickSession
from napari_samstar.core.interactive.next_click import iou
from napari_samstar.core.interactive.simulated_user import noc, simulate
from napari_samstar.core.models.encoder import encode
from napari_samstar.core.models.loading import load
from napari_samstar.core.progress import run

mpl.use("Agg")
from matplotlib import pyplot as plt

SAMPLE, TARGET, MAX_CLICKS, N_LEARNED = "phase_cells", 0.85, 12, 6
OUT = Path(__file__).parent / "images" / "correcting.png"


def main() -> None:
    torch.set_num_threads(1)
    model = load("pocket", "cpu")
    image, truth, _ = sample_data.load(SAMPLE)
    micrograph = prepare(image, name=SAMPLE)
    embedding = encode(model, micrograph.rgb)
    objects = [truth == v for v in np.unique(truth)[1:] if (truth == v).sum() > 150]
    before = [clicked(ClickSession(model, embedding), m) for m in objects]
    hard = [k for k in np.argsort([t[0] for _, t in before]) if before[k][1][0] < TARGET]
    learned, others = hard[: 2 * N_LEARNED : 2], hard[1 : 2 * N_LEARNED : 2]
    adaptation = Adaptation(model)
    for k in learned:
        session = ClickSession(
            adaptation.start_object(), embedding, competitor=adaptation.competitor
        )
        session, trace = clicked(session, objects[k])
        if trace[-1] >= TARGET:
            example = Example(embedding, session.states, session.state.prediction.mask)
            run(adaptation.learn_object(example))
        print(f"object {k}: {len(trace)} clicks; {adaptation.text}")
    after = {}
    for k in others:
        session = ClickSession(
            adaptation.start_object(), embedding, competitor=adaptation.competitor
        )
        after[k] = clicked(session, objects[k])
        was, now = (noc(t, TARGET, MAX_CLICKS) for t in (before[k][1], after[k][1]))
        print(
            f"object {k}, not learned: {was} clicks -> {now}, "
            f"one click: IoU {before[k][1][0]:.2f} -> {after[k][1][0]:.2f}"
        )
    two = min(learned, key=lambda k: (abs(len(before[k][1]) - 3), before[k][1][0]))
    best = max(others, key=lambda k: (gained(before[k][1], after[k][1]), -before[k][1][0]))
    draw(micrograph.rgb, (before[two], objects[two]), before[best], after[best], objects[best])


def clicked(session, truth):
    return session, list(simulate(session, truth, MAX_CLICKS, TARGET))


def gained(before, after) -> tuple[int, float]:
    return len(before) - len(after), after[0] - before[0]


def draw(rgb, corrected, before, after, other) -> None:
    (session, trace), shape = corrected
    panels = [
        (f"One click, a failure: IoU {trace[0]:.2f}", session.states[0], shape),
        (f"{len(trace)} clicks: IoU {trace[-1]:.2f}", session.state, shape),
    ]
    for words, (clicks, ious) in (("Original", before), ("After learning", after)):
        title = (
            f"{words}, one click: IoU {ious[0]:.2f}\n(to {TARGET}: {noc(ious, TARGET, MAX_CLICKS)})"
        )
        panels.append((title, clicks.states[0], other))
    figure, axes = plt.subplots(1, 4, figsize=(11, 3.3), layout="constrained")
    for axis, (title, state, truth) in zip(axes, panels, strict=True):
        middle = np.argwhere(truth).mean(0)
        axis.imshow(rgb)
        axis.contour(truth, [0.5], colors="white", linewidths=1, linestyles="dotted")
        axis.contour(state.prediction.mask, [0.5], colors="#4fb0c6", linewidths=2)
        for c in state.prompt.clicks:
            colour = "#5fc36b" if c.positive else "#e0605a"
            axis.plot(c.col, c.row, "o", color=colour, markeredgecolor="white", markersize=7)
        axis.set(xticks=[], yticks=[])
        axis.set_xlim(middle[1] - 60, middle[1] + 60)
        axis.set_ylim(middle[0] + 60, middle[0] - 60)
        axis.set_title(title, fontsize=9)
    assert iou(before[0].states[0].prediction.mask, other) == before[1][0]
    figure.savefig(OUT, dpi=110)


if __name__ == "__main__":
    main()
