"""Scores of the masks for clicks and boxes on objects of the ground truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from training import scoring

if TYPE_CHECKING:
    from segment_anything import SamPredictor

    from training import real


@dataclass
class PromptScores:
    """IoU with the ground truth by kind of prompt, one entry per object; `+=` pools images.

    `predicted` and `true` hold the predicted and true IoU of all three masks of each click.
    """

    click: list[float] = field(default_factory=list)  # of the mask with the highest predicted IoU
    best_of_3: list[float] = field(default_factory=list)
    clicks3: list[float] = field(default_factory=list)
    box: list[float] = field(default_factory=list)
    predicted: list[float] = field(default_factory=list)
    true: list[float] = field(default_factory=list)
    baselines: dict[str, list[float]] = field(default_factory=dict)

    def __iadd__(self, other: PromptScores) -> PromptScores:
        for name in ("click", "best_of_3", "clicks3", "box", "predicted", "true"):
            getattr(self, name).extend(getattr(other, name))
        for name, values in other.baselines.items():
            self.baselines.setdefault(name, []).extend(values)
        return self


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def score_prompts(
    predictor: SamPredictor,
    source: real.Micrograph,
    most: int,
    baselines: dict[str, np.ndarray],
) -> PromptScores:
    """Prompt up to `most` objects of one image, which `predictor` has encoded.

    The first click is on the pixel farthest from the object's outline. The mask of a baseline is
    its region at the same pixel.
    """
    out = PromptScores(baselines={name: [] for name in baselines})
    for i in scoring.some_instances(source.label, most, seed=0):
        truth = source.label == i
        row, col = scoring.deepest(truth)
        masks, scores, logits = predictor.predict(np.array([[col, row]]), np.array([1]))
        found = [iou(m, truth) for m in masks]
        chosen = int(scores.argmax())
        out.click.append(found[chosen])
        out.best_of_3.append(max(found))
        out.predicted += scores.tolist()
        out.true += found
        out.clicks3.append(
            _iou_after_clicks(predictor, truth, masks[chosen], logits[chosen], (row, col))
        )
        out.box.append(iou(_box_mask(predictor, truth), truth))
        for name, labels in baselines.items():
            here = labels[row, col]
            out.baselines[name].append(iou(labels == here, truth) if here else 0.0)
    return out


def _box_mask(predictor: SamPredictor, truth: np.ndarray) -> np.ndarray:
    rows, cols = np.nonzero(truth)
    box = np.array([cols.min(), rows.min(), cols.max(), rows.max()])
    masks, _, _ = predictor.predict(box=box, multimask_output=False)
    return masks[0]


def _iou_after_clicks(
    predictor: SamPredictor,
    truth: np.ndarray,
    mask: np.ndarray,
    logits: np.ndarray,
    first: tuple[int, int],
    clicks: int = 3,
) -> float:
    """IoU after `clicks` clicks, each on the larger error, with the previous logits as input."""
    points, labels = [first], [1]
    for _ in range(clicks - 1):
        missing, extra = truth & ~mask, mask & ~truth
        if not (missing | extra).any():
            break
        wrong = missing if missing.sum() >= extra.sum() else extra
        points.append(scoring.deepest(wrong))
        labels.append(int(wrong is missing))
        masks, _, low = predictor.predict(
            np.array([(c, r) for r, c in points]),
            np.array(labels),
            mask_input=logits[None],
            multimask_output=False,
        )
        mask, logits = masks[0], low[0]
    return iou(mask, truth)
