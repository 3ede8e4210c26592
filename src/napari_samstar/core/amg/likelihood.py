"""The probability that a candidate is an object, from SAM's scores and from the model's own maps.

The predicted IoU looks at one mask. Some models, such as the bundled one, also see where the
centres of objects are, and how large they are, before any prompt: a mask of one object holds one
centre and has the size that was seen. These are independent cues, so a mask on which all agree is
more likely to be an object than one with a high predicted IoU alone. Ours; the weights are fitted
by `python -m training.likelihood`, which says on which images: none of the final test of tuning.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage as ndi

from napari_samstar.core.amg.ladder import OFFSET_STEP

if TYPE_CHECKING:
    from napari_samstar.core.amg.candidates import Candidates
    from napari_samstar.core.masks.store import PackedMask
    from napari_samstar.core.models.backend import Backend, CentreMap, Embedding

PROBABILITY_POWER = 10
"""Without maps, the probability that a mask is an object is taken as its predicted IoU to this
power: 0.28 at SAM's default threshold of 0.88. Keeping a mask raises the expected F1 where its
probability exceeds half the F1 (Lipton, Elkan and Naryanaswamy, ECML 2014); at that threshold,
where F1 is 0.56."""

FEATURES = ("quality", "stability", "centre", "size", "size error", "centres", "centres error")
"""Columns of `features`."""

# --- fitted: intercept and weights of `FEATURES`, printed by training/likelihood.py ---------------
OF_ANSWERS = (-12.205, 0.069, 11.192, 5.374, 1.104, 4.677, -0.143, -0.128)
"""For SAM's answers."""
OF_GIVEN = (-9.561, 13.040, -3.053, 5.216, 1.033, 6.039, -0.661, -0.295)
"""For masks that were given."""
# --- end of what was fitted -----------------------------------------------------------------------

LOW_PEAK, PEAK = 0.2, 0.3
"""Heights of the centre map from which a maximum is seen at all, and counts as a centre."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What a model sees in one crop before it is prompted.

    Attributes
    ----------
    peaks : ndarray of int64, shape (m, 2)
        Pixels (row, col) of the image with a maximum of the centre map.
    heights : ndarray of float64, shape (m,)
    rows, cols : ndarray of int64, shape (h,) and (w,)
        Pixels of the image in the middle of each row and column of cells.
    sizes : ndarray of float64, shape (h, w)
        Square root of the area of the object that a cell belongs to, px of the image.
    """

    peaks: NDArray[np.int64]
    heights: NDArray[np.float64]
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    sizes: NDArray[np.float64]

    @classmethod
    def of(cls, maps: CentreMap, embedding: Embedding, corner: tuple[int, int]) -> Seen:
        """Bring a model's maps to the image; `corner` is the crop's first (x, y), px."""
        assert maps.sizes is not None
        height, width = embedding.original_size
        scale = embedding.input_size[1] / width  # px of the frame for each px of the image
        cell = maps.stride / scale
        # Cells in the padding of the frame are left out.
        rows = ((np.arange(maps.heat.shape[0]) + 0.5) * cell).astype(np.int64)
        cols = ((np.arange(maps.heat.shape[1]) + 0.5) * cell).astype(np.int64)
        rows, cols = rows[rows < height], cols[cols < width]
        heat = maps.heat[: len(rows), : len(cols)].astype(np.float64)
        highest = (heat == ndi.maximum_filter(heat, 3)) & (heat >= LOW_PEAK)
        at = np.argwhere(highest)
        x0, y0 = corner
        return cls(
            peaks=np.stack([rows[at[:, 0]] + y0, cols[at[:, 1]] + x0], axis=1),
            heights=heat[highest],
            rows=rows + y0,
            cols=cols + x0,
            sizes=maps.sizes[: len(rows), : len(cols)].astype(np.float64) / scale,
        )


def with_probabilities(
    candidates: Candidates, backend: Backend, embedding: Embedding
) -> Candidates:
    """Return the candidates of one crop with their `probability`.

    Where the model sees centres, the quality of given masks follows from their probability, so that
    it has the meaning of SAM's predicted IoU at SAM's default threshold.
    """
    maps = backend.centre_map(embedding) if backend.sees_centres else None
    if maps is None or maps.sizes is None or not len(candidates.masks):
        return candidates
    x0, y0 = candidates.crop_box[:2]
    found = features(candidates, Seen.of(maps, embedding, (x0, y0)))
    given = candidates.given
    weights = np.tile(np.array(OF_ANSWERS), (len(found), 1))
    if given is not None:
        weights[given] = OF_GIVEN
    score = weights[:, 0] + (weights[:, 1:] * found).sum(axis=1)
    empty = np.array([mask.area == 0 for mask in candidates.masks])
    p = np.where(empty, 0.0, 1 / (1 + np.exp(-score))).astype(np.float32)
    device = candidates.predicted_iou.device
    quality = candidates.predicted_iou
    if given is not None:
        rows = torch.from_numpy(given).to(device)
        as_quality = torch.from_numpy(p ** (1 / PROBABILITY_POWER)).to(device)
        quality = torch.where(rows, as_quality, quality)
    return replace(candidates, predicted_iou=quality, probability=torch.from_numpy(p).to(device))


def from_quality(predicted_iou: torch.Tensor) -> torch.Tensor:
    """Return the probability that follows from the predicted IoU alone; see `PROBABILITY_POWER`."""
    return predicted_iou.clamp(0, 1) ** PROBABILITY_POWER


def features(candidates: Candidates, seen: Seen) -> NDArray[np.float64]:
    """Return the features of the candidates of one crop, shape (n, 7); see `FEATURES`.

    - *quality*: 10 ln q of an answer, the estimate of `given_quality` of a given mask.
    - *stability* at the offset 1, 0 to 1.
    - *centre*: the highest maximum of the centre map in the mask, 0 if there is none.
    - *size*: ln of the mask's size over the median of the sizes seen in it, -2 to 2.
    - *size error*: minus its absolute value.
    - *centres*: number of centres in the mask, at most 3.
    - *centres error*: how far this number is from 1, at most 2.
    """
    quality = candidates.predicted_iou.cpu().numpy().astype(np.float64)
    quality = np.clip(quality, 1e-3, 0.9999)
    logs = PROBABILITY_POWER * np.log(quality)
    if candidates.given is not None:
        logs = np.where(candidates.given, quality, logs)
    rung = round(1.0 / OFFSET_STEP) - 1
    stability = np.nan_to_num(candidates.stability[rung].cpu().numpy().astype(np.float64))
    out = np.zeros((len(candidates.masks), len(FEATURES)))
    out[:, 0], out[:, 1] = logs, np.clip(stability, 0, 1)
    for k, mask in enumerate(candidates.masks):
        if mask.area:
            height, ratio, n = _of_mask(mask, seen)
            out[k, 2:] = height, ratio, -abs(ratio), min(n, 3), min(abs(n - 1), 2)
    return out


def _of_mask(mask: PackedMask, seen: Seen) -> tuple[float, float, int]:
    """Return the highest peak in a mask, the log of its relative size, and the number of peaks."""
    r0, c0, r1, c1 = mask.box
    window = mask.window
    # Peaks: those in the box, then those in the mask.
    rows, cols = seen.peaks.T
    near = np.flatnonzero((rows >= r0) & (rows < r1) & (cols >= c0) & (cols < c1))
    inside = near[window[rows[near] - r0, cols[near] - c0]]
    heights = seen.heights[inside]
    # Sizes: of the cells whose middle is in the mask; of the nearest cell where there is none.
    i0, i1 = np.searchsorted(seen.rows, (r0, r1))
    j0, j1 = np.searchsorted(seen.cols, (c0, c1))
    held = window[np.ix_(seen.rows[i0:i1] - r0, seen.cols[j0:j1] - c0)]
    sizes = seen.sizes[i0:i1, j0:j1][held]
    if not len(sizes):
        i = int(np.abs(seen.rows - (r0 + r1) / 2).argmin())
        j = int(np.abs(seen.cols - (c0 + c1) / 2).argmin())
        sizes = seen.sizes[i : i + 1, j]
    ratio = float(np.log(np.sqrt(mask.area) / max(float(np.median(sizes)), 1e-3)))
    highest = float(heights.max()) if len(heights) else 0.0
    return highest, float(np.clip(ratio, -2, 2)), int(np.count_nonzero(heights >= PEAK))
