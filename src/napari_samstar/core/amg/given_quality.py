"""How good a mask is that SAM did not predict, on the scale of SAM's predicted IoU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops.boxes import box_iou

if TYPE_CHECKING:
    from napari_samstar.core.amg.candidates import Candidates
    from napari_samstar.core.masks.store import PackedMask
    from napari_samstar.core.prompts.base import GivenMasks


def given_quality(
    given: GivenMasks, masks: Sequence[PackedMask], answers: Candidates
) -> NDArray[np.float32]:
    """Return an estimate of the IoU of each given mask with an object, in [0, 1], shape (n,).

    The mean of two estimates that do not depend on each other. Ours. One asks SAM: the IoU with its
    answer to the box of the mask, times the IoU that it predicts for that answer; 0 where it was
    not asked. The other asks the image: see `separation`.

    Parameters
    ----------
    given : GivenMasks
    masks : sequence of PackedMask, length n
        The same masks in the frame of the image.
    answers : Candidates
        Of SAM for the same crop, in the frame of the image too.
    """
    pairs = zip(_agreement(given, masks, answers), given.levels, strict=True)
    return np.array([(agreed + separation(levels)) / 2 for agreed, levels in pairs], np.float32)


def separation(levels: NDArray[np.float32]) -> float:
    """Return how well a mask's pixels are told from those around it by their level, in [0, 1].

    Twice the probability that a random pixel inside is higher than one outside, less 1, for normal
    distributions: erf(d / 2), where d is the difference of the means over the root of the mean
    variance (d' of signal detection). 0 where there is nothing around the mask.

    Parameters
    ----------
    levels : ndarray of float32, shape (h, w)
        See `GivenMasks`.
    """
    seen = np.isfinite(levels)
    inside, outside = levels[seen & (levels > 0)], levels[seen & (levels <= 0)]
    if not len(inside) or not len(outside):
        return 0.0
    difference = float(inside.mean(dtype=np.float64) - outside.mean(dtype=np.float64))
    spread = math.sqrt((inside.var(dtype=np.float64) + outside.var(dtype=np.float64)) / 2)
    return math.erf(difference / (2 * spread)) if spread > 0 else 1.0


def _agreement(
    given: GivenMasks, masks: Sequence[PackedMask], answers: Candidates
) -> NDArray[np.float64]:
    """Return IoU times predicted IoU of SAM's answer to the box most like each mask's, (n,)."""
    agreed = np.zeros(len(masks))
    if answers.prompt_boxes is None:
        return agreed
    asked = np.flatnonzero(np.isfinite(answers.prompt_boxes).all(axis=1))
    if not len(asked) or not len(masks):
        return agreed
    overlap = box_iou(torch.from_numpy(given.boxes), torch.from_numpy(answers.prompt_boxes[asked]))
    most, which = overlap.max(dim=1)
    predicted = answers.predicted_iou.cpu().numpy()
    for k in np.flatnonzero(most.numpy() > 0).tolist():
        row = int(asked[which[k]])
        mine, answer = masks[k], answers.masks[row]
        both = mine.bit_window.overlap(answer.bit_window)
        iou = both / max(mine.area + answer.area - both, 1)
        agreed[k] = iou * float(np.clip(predicted[row], 0, 1))
    return agreed
