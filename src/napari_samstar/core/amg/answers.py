"""All that is proposed for one crop -> one table of candidates: answers of SAM, and given masks."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import numpy as np
import torch
from segment_anything.utils.amg import is_box_near_crop_edge

from napari_samstar.core.amg.batch import boxes_of, clearing, rungs_around, stability_of
from napari_samstar.core.amg.candidates import Candidates, CropBox, joined
from napari_samstar.core.amg.given_quality import given_quality
from napari_samstar.core.amg.ladder import N_OFFSETS
from napari_samstar.core.masks.store import PackedMask

if TYPE_CHECKING:
    from napari_samstar.core.prompts.base import GivenMasks, Prompts, Proposals

Decode = Callable[["Prompts"], Generator[int, None, Candidates]]


def answered(
    proposals: Proposals,
    decode: Decode,
    crop_box: CropBox,
    image_shape: tuple[int, int],
    tile: bool,
) -> Generator[int, None, Candidates]:
    """Decode each group of prompts, add the given masks; yields the number of prompts done.

    Parameters
    ----------
    decode : callable
        Decodes one group, as `decode_prompts` does.
    crop_box : (x0, y0, x1, y1)
        Where the crop lies in the image, px.
    image_shape : (int, int)
        Rows and columns of the image.
    tile : bool
        Whether the crop is a tile; see `decode_prompts`.
    """
    parts: list[Candidates] = []
    done = 0
    for group in proposals.groups:
        steps = decode(group)
        while True:
            try:
                n = next(steps)
            except StopIteration as end:
                parts.append(end.value)
                break
            yield done + n
        done += len(group)
    answers = joined(parts)
    if not proposals.given:
        return answers
    return joined([answers, _given(proposals.given, answers, image_shape, tile)])


def _given(
    given: GivenMasks, answers: Candidates, image_shape: tuple[int, int], tile: bool
) -> Candidates:
    """Return given masks as candidates, measured like SAM's; they make up one batch."""
    x0, y0, _, _ = answers.crop_box
    rungs = rungs_around(0.0)
    counts = np.empty((len(given), 2 * N_OFFSETS), dtype=np.int32)
    masks = []
    for k, (levels, (x, y)) in enumerate(zip(given.levels, given.corners.tolist(), strict=True)):
        counts[k] = clearing(levels, rungs)
        masks.append(PackedMask.tight(levels > 0, y0 + y, x0 + x))
    device = answers.boxes.device
    boxes = boxes_of(masks, answers.crop_box)
    rows, cols = image_shape
    near_edge = is_box_near_crop_edge(boxes, list(answers.crop_box), [0, 0, cols, rows])
    return Candidates(
        crop_box=answers.crop_box,
        masks=tuple(masks),
        points=torch.from_numpy(given.places),
        predicted_iou=torch.from_numpy(given_quality(given, masks, answers)),
        stability=stability_of(torch.from_numpy(counts)),
        boxes=boxes,
        near_edge=torch.zeros_like(near_edge) if tile else near_edge,
        batch=torch.zeros(len(masks), dtype=torch.int64),
        n_batches=1,
        n_prompts=0,
        given=np.ones(len(masks), dtype=bool),
    ).to(device)
