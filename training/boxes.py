"""Micrographs of which only boxes are known: do masks fill the box, is the count right?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage as ndi

from training import baselines
from training.everything import Workplace

if TYPE_CHECKING:
    from segment_anything import SamPredictor

    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.models.backend import LoadedModel
    from training.held_out import Boxed


@dataclass
class OnBoxes:
    """One entry per box, then one per image; pooled over images."""

    inside: list[float] = field(default_factory=list)  # share of the mask that lies in the box
    filled: list[float] = field(default_factory=list)  # share of the box that the mask covers
    box: list[float] = field(default_factory=list)  # IoU of the mask's tight box with the box
    click: list[float] = field(default_factory=list)  # the same of a click in the box's middle
    true: list[int] = field(default_factory=list)
    found: dict[str, list[int]] = field(default_factory=dict)  # by method
    f1: dict[str, list[float]] = field(default_factory=dict)  # of tight boxes at IoU 0.5


def on_boxes(model: LoadedModel, sources: list[Boxed], config: AmgConfig, most: int) -> OnBoxes:
    """Prompt up to `most` boxes of each image, and count "segment everything" at the defaults."""
    out = OnBoxes()
    for source in sources:
        place = Workplace.of(model, source.image)
        predictor = model.backend.predictor(place.cache.encode(model, place.image.rgb))
        for box in np.random.default_rng(0).permutation(source.boxes)[:most]:
            _prompt(predictor, box, out)
        found = {"model": place.labels(config), **baselines.segmented(place.image.rgb)}
        out.true.append(len(source.boxes))
        for name, labels in found.items():
            mine = tight_boxes(labels)
            out.found.setdefault(name, []).append(len(mine))
            out.f1.setdefault(name, []).append(_f1(mine, source.boxes))
    return out


def _prompt(predictor: SamPredictor, box: np.ndarray, out: OnBoxes) -> None:
    y0, x0, y1, x1 = box
    masks, _, _ = predictor.predict(box=np.array([x0, y0, x1 - 1, y1 - 1]), multimask_output=False)
    rows, cols = (slice(round(a), round(b)) for a, b in ((y0, y1), (x0, x1)))
    within = masks[0][rows, cols]
    out.inside.append(float(within.sum() / max(masks[0].sum(), 1)))
    out.filled.append(float(within.mean()))
    out.box.append(_one(masks[0], box))
    middle = np.array([[(x0 + x1) / 2, (y0 + y1) / 2]])
    masks, scores, _ = predictor.predict(middle, np.ones(1))
    out.click.append(_one(masks[scores.argmax()], box))


def _one(mask: np.ndarray, box: np.ndarray) -> float:
    return float(box_ious(tight_boxes(mask.astype(int)), box[None]).max(initial=0.0))


def tight_boxes(labels: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) y0, x0, y1, x1, half open, of the labels of (H, W)."""
    found = [s for s in ndi.find_objects(labels) if s is not None]
    corners = [(r.start, c.start, r.stop, c.stop) for r, c in found]
    return np.array(corners, float).reshape(-1, 4)


def box_ious(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU (n, m) of boxes (n, 4) and (m, 4)."""
    low, high = (
        np.maximum(a[:, None, :2], b[None, :, :2]),
        np.minimum(a[:, None, 2:], b[None, :, 2:]),
    )
    both = np.clip(high - low, 0, None).prod(2)
    area_a, area_b = ((c[:, 2:] - c[:, :2]).prod(1) for c in (a, b))
    return np.asarray(both / np.maximum(area_a[:, None] + area_b - both, 1e-9))


def _f1(found: np.ndarray, true: np.ndarray) -> float:
    from scipy.optimize import linear_sum_assignment

    good = box_ious(found, true) >= 0.5
    matched = int(good[linear_sum_assignment(good, maximize=True)].sum())
    return 2 * matched / max(len(found) + len(true), 1)
