"""What is said about one candidate, whether or not the image was cut into tiles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torchvision.ops.boxes import box_iou

from napari_samstar.core.amg.rejection import Cause, Finding, Rejection
from napari_samstar.core.masks.store import BITS

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import ProposalBank, Table
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.masks.store import MaskStore, PackedMask

Spot = tuple[int, int]

ALIKE = 0.85
"""Candidates at one spot whose IoU is at least this are listed once."""

_STEP = 0.01  # of the thresholds' sliders: a remedy must be settable by hand


def holds(mask: PackedMask, spot: Spot) -> bool:
    """Return whether the pixel `spot` (row, col) is in the mask."""
    row, col = spot
    row0, col0, row1, col1 = mask.box
    if not (row0 <= row < row1 and col0 <= col < col1):
        return False
    bit_window = mask.bit_window
    word, bit = divmod(col - bit_window.word * BITS, BITS)
    return bool(int(bit_window.bits[row - bit_window.row, word]) >> bit & 1)


def rows_at(store: MaskStore, table: Table, shown: dict[int, int], spot: Spot) -> list[int]:
    """Return the rows of a table's candidates that hold `spot`, as proposed or as shown.

    Parameters
    ----------
    shown : dict of int to int
        The mask in the selection, by the id of the candidate.
    """
    x0, y0, x1, y1 = table.candidates.crop_box
    row, col = spot
    if not (y0 <= row < y1 and x0 <= col < x1):
        return []
    ids = table.ids.tolist()
    return [
        k
        for k, i in enumerate(ids)
        if holds(store[i], spot) or (shown.get(i, i) != i and holds(store[shown[i]], spot))
    ]


def filter_rejections(
    bank: ProposalBank,
    table: Table,
    config: AmgConfig,
    k: int,
    passed: Mapping[str, torch.Tensor],
    stability: torch.Tensor,
    probability: torch.Tensor,
) -> tuple[Rejection, ...]:
    """Return the filters that the candidate in row `k` of a table fails.

    Parameters
    ----------
    passed : dict of str to bool Tensor, shape (n,)
        Which candidates of the table pass each filter; see `select.passes`.
    stability : float32 Tensor, shape (n,)
        See `select.stability_of`.
    probability : float32 Tensor, shape (n,)
        See `select.probability_of`.
    """
    values: dict[Cause, tuple[float, float]] = {
        "quality": (float(table.candidates.predicted_iou[k]), config.pred_iou_thresh),
        "stability": (float(stability[k]), config.stability_score_thresh),
        "edge": (0.0, 0.0),
        "probability": (float(probability[k]), config.min_probability),
        "likeness": (0.0, config.min_likeness),
    }
    if config.examples:
        values["likeness"] = (float(bank.likeness(table, config.examples)[k]), config.min_likeness)
    given = int(table.ids[k]) in bank.given
    return tuple(
        Rejection(cause, *v, given=given) for cause, v in values.items() if not passed[cause][k]
    )


def box_in_image(table: Table, k: int) -> torch.Tensor:
    """Return the box of the candidate in row `k`: (x0, y0, x1, y1), inclusive, px of the image."""
    x0, y0, _, _ = table.candidates.crop_box
    boxes = table.candidates.boxes
    return boxes[k] + torch.tensor([x0, y0, x0, y0]).to(boxes)


def beaten(
    cause: Cause,
    box: torch.Tensor,
    boxes: torch.Tensor,
    candidates: torch.Tensor,
    threshold: float,
) -> Rejection:
    """Return the fault of a duplicate: the first survivor that overlaps it too much removed it.

    Parameters
    ----------
    box : Tensor, shape (4,)
        Of the duplicate.
    boxes, candidates : Tensor, shape (n, 4) and (n,)
        Of the survivors: boxes in the same frame, and ids.
    """
    overlaps = box_iou(box[None].float(), boxes.float())[0]
    over = torch.nonzero(overlaps > threshold)
    first = int(over[0, 0]) if len(over) else int(overlaps.argmax())
    value = float(overlaps[first])
    return Rejection(cause, value, threshold, int(candidates[first]))


def beaten_when_clean(
    bank: ProposalBank,
    config: AmgConfig,
    mask_id: int,
    ids: Sequence[int],
    candidates: Sequence[int],
) -> Rejection:
    """Return the fault of a mask that became a duplicate when small regions were removed.

    Parameters
    ----------
    ids, candidates : sequence of int
        Of the selection: its masks, and the candidates that they were made from.
    """
    clean_id, _ = bank.cleaner.clean(mask_id, config.min_mask_region_area)
    box = _xyxy(bank.masks, [clean_id])[0]
    overlaps = box_iou(box[None], _xyxy(bank.masks, ids))[0]
    first = int(overlaps.argmax())
    limit = max(config.box_nms_thresh, config.crop_nms_thresh)
    return Rejection("cleaned", float(overlaps[first]), limit, candidates[first])


def speck(
    bank: ProposalBank, config: AmgConfig, mask_id: int, shown_id: int, spot: Spot | None
) -> tuple[Rejection, ...]:
    """Return a fault where the mask is kept but small-region removal took the spot."""
    if spot is None or holds(bank.masks[shown_id], spot) or not holds(bank.masks[mask_id], spot):
        return ()
    row0, col0, _, _ = bank.masks[mask_id].box
    window = bank.masks.window(mask_id).astype(np.uint8)
    _, regions = cv2.connectedComponents(window, connectivity=8)
    area = int(np.count_nonzero(regions == regions[spot[0] - row0, spot[1] - col0]))
    return (Rejection("speck", area, config.min_mask_region_area),)


def loosened(config: AmgConfig, rejections: Sequence[Rejection]) -> AmgConfig | None:
    """Return `config` moved just far enough past each fault, None where no setting is at fault."""
    changes: dict[str, float] = {}
    for rejection in rejections:
        if not rejection.setting:
            return None
        changes[rejection.setting] = _past(rejection, getattr(config, rejection.setting))
    return config.replace(**changes)


def how_far(finding: Finding) -> tuple[int, float]:
    """Order findings by how far they got, then by SAM's own rating."""
    reached: dict[Cause, int] = {
        "edge": 0,
        "quality": 1,
        "stability": 1,
        "probability": 2,
        "likeness": 2,
        "duplicate": 3,
        "crop duplicate": 4,
    }
    if finding.kept:
        return 9, finding.predicted_iou
    steps = [reached.get(rejection.cause, 5) for rejection in finding.rejections]
    return 2 * min(steps) - len(steps), finding.predicted_iou


def distinct(store: MaskStore, found: Sequence[Finding], most: int) -> tuple[Finding, ...]:
    """Leave out what looks like an earlier finding; kept ones are always listed."""
    listed: list[Finding] = []
    for finding in found:
        twin = _twin(store, listed, finding)
        if twin is None or finding.kept:
            listed.append(finding)
        else:
            old = listed[twin]
            listed[twin] = Finding(**{**vars(old), "alike": old.alike + 1})
    return tuple(listed[:most])


# --- private ----------------------------------------------------------------------------------


def _xyxy(store: MaskStore, ids: Sequence[int]) -> torch.Tensor:
    """Return inclusive boxes (x0, y0, x1, y1), float32, shape (n, 4), as `select` has them."""
    boxes = store.boxes(ids)[:, [1, 0, 3, 2]]
    boxes[:, 2:] -= boxes[:, 2:] > 0
    return torch.from_numpy(boxes).float()


def _past(rejection: Rejection, now: float) -> float:
    if rejection.cause == "speck":
        return int(rejection.value)
    if rejection.cause in ("quality", "stability", "probability", "likeness"):
        value = 0.0 if math.isnan(rejection.value) else rejection.value
        # A score that lies on a step of the slider must exceed it for "quality".
        nudge = 1e-6 if rejection.cause == "quality" else -1e-6
        low = math.floor((value - nudge) / _STEP) * _STEP
        return round(max(0.0, min(low, now - _STEP)), 2)
    high = math.ceil((rejection.value - 1e-6) / _STEP) * _STEP
    return round(min(1.0, max(high, now + _STEP)), 2)


def _twin(store: MaskStore, listed: Sequence[Finding], finding: Finding) -> int | None:
    mine = store[finding.shown_id]
    for k, other in enumerate(listed):
        theirs = store[other.shown_id]
        small, large = sorted((mine.area, theirs.area))
        if small < ALIKE * large:
            continue
        shared = mine.bit_window.overlap(theirs.bit_window)
        if shared >= ALIKE * (mine.area + theirs.area - shared):
            return k
    return None
