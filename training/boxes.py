"""Scores on micrographs with true boxes instead of true masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage as ndi

from training import baselines
from training.everything import EncodedImage

if TYPE_CHECKING:
    from segment_anything import SamPredictor

    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.models.backend import LoadedModel
    from training.held_out import BoxedImage


@dataclass
class BoxScores:
    """Scores per box, and counts and F1 per image."""

    inside: list[float] = field(default_factory=list)  # share of the mask inside the box
    filled: list[float] = field(default_factory=list)  # share of the box that the mask covers
    box: list[float] = field(default_factory=list)  # IoU of the mask's bounding box with the box
    click: list[float] = field(default_factory=list)  # same IoU, prompted by the box's centre
    true: list[int] = field(default_factory=list)  # number of boxes, per image
    found: dict[str, list[int]] = field(default_factory=dict)  # number of masks, by method
    f1: dict[str, list[float]] = field(default_factory=dict)  # of boxes at IoU 0.5, by method


def score_boxes(
    model: LoadedModel, sources: list[BoxedImage], config: AmgConfig, most: int
) -> BoxScores:
    """Prompt up to `most` boxes of each image, and run "segment everything" at the defaults."""
    out = BoxScores()
    for source in sources:
        encoded = EncodedImage.of(model, source.image)
        predictor = model.backend.predictor(encoded.cache.encode(model, encoded.image.rgb))
        for box in np.random.default_rng(0).permutation(source.boxes)[:most]:
            _score_prompts(predictor, box, out)
        found = {"model": encoded.labels(config), **baselines.segmented(encoded.image.rgb)}
        out.true.append(len(source.boxes))
        for name, labels in found.items():
            boxes = tight_boxes(labels)
            out.found.setdefault(name, []).append(len(boxes))
            out.f1.setdefault(name, []).append(_f1(boxes, source.boxes))
    return out


def _score_prompts(predictor: SamPredictor, box: np.ndarray, out: BoxScores) -> None:
    """Add the scores of a box prompt and of a click on the box's centre."""
    y0, x0, y1, x1 = box
    masks, _, _ = predictor.predict(box=np.array([x0, y0, x1 - 1, y1 - 1]), multimask_output=False)
    rows, cols = (slice(round(a), round(b)) for a, b in ((y0, y1), (x0, x1)))
    within = masks[0][rows, cols]
    out.inside.append(float(within.sum() / max(masks[0].sum(), 1)))
    out.filled.append(float(within.mean()))
    out.box.append(_box_iou(masks[0], box))
    centre = np.array([[(x0 + x1) / 2, (y0 + y1) / 2]])
    masks, scores, _ = predictor.predict(centre, np.ones(1))
    out.click.append(_box_iou(masks[scores.argmax()], box))


def _box_iou(mask: np.ndarray, box: np.ndarray) -> float:
    """IoU of the bounding box of a mask (H, W) with a box."""
    return float(box_ious(tight_boxes(mask.astype(int)), box[None]).max(initial=0.0))


def tight_boxes(labels: np.ndarray) -> np.ndarray:
    """Bounding boxes (n, 4) of a label image (H, W): y0, x0, y1, x1, half open."""
    found = [s for s in ndi.find_objects(labels) if s is not None]
    corners = [(r.start, c.start, r.stop, c.stop) for r, c in found]
    return np.array(corners, float).reshape(-1, 4)


def box_ious(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU (n, m) of boxes (n, 4) and (m, 4)."""
    low, high = (
        np.maximum(a[:, None, :2], b[None, :, :2]),
        np.minimum(a[:, None, 2:], b[None, :, 2:]),
    )
    intersection = np.clip(high - low, 0, None).prod(2)
    area_a, area_b = ((c[:, 2:] - c[:, :2]).prod(1) for c in (a, b))
    return np.asarray(intersection / np.maximum(area_a[:, None] + area_b - intersection, 1e-9))


def _f1(found: np.ndarray, true: np.ndarray) -> float:
    from scipy.optimize import linear_sum_assignment

    matches = box_ious(found, true) >= 0.5
    matched = int(matches[linear_sum_assignment(matches, maximize=True)].sum())
    return 2 * matched / max(len(found) + len(true), 1)
