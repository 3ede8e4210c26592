"""Embedding + prompts -> every candidate mask, unfiltered."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.utils.amg import is_box_near_crop_edge

from napari_samstar.core import interrupt
from napari_samstar.core.amg.batch import Batch, boxes_of, clearing, rungs_around, stability_of
from napari_samstar.core.amg.candidates import Candidates, CropBox
from napari_samstar.core.amg.device_decode import (
    Tell,
    decode_on_device,
    halved,
    nobody,
    stays_on_device,
)
from napari_samstar.core.amg.draw import Resizer
from napari_samstar.core.amg.ladder import N_OFFSETS
from napari_samstar.core.masks.store import PackedMask
from napari_samstar.core.models.device import is_out_of_memory

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import Backend, Embedding
    from napari_samstar.core.prompts.base import Prompts

CHUNK_PIXELS = 2**24
"""Full-size logits held at once: 64 MB of float32, whatever the image's size."""


def decode_prompts(
    backend: Backend,
    embedding: Embedding,
    crop_box: CropBox,
    image_shape: tuple[int, int],
    prompts: Prompts,
    per_batch: int,
    *,
    tile: bool = False,
    tell: Tell = nobody,
) -> Generator[int, None, Candidates]:
    """Decode all prompts for one crop; yields the number of prompts done after each batch.

    Parameters
    ----------
    crop_box : (x0, y0, x1, y1)
        Where the crop lies in the image, px.
    image_shape : (int, int)
        Rows and columns of the image.
    per_batch : int
        Prompts decoded at once, as upstream's `points_per_batch`; a fast model takes more. On a
        GPU that runs out of memory the batch is halved and decoding goes on; the last bits of the
        scores may then differ.
    tile : bool
        Whether the crop is a tile: prompts are then decoded in windows where the model can do that,
        masks are drawn where they lie only, and none counts as near an edge.
    tell : callable
        Takes sentences for the user.

    Returns
    -------
    Candidates

    Raises
    ------
    torch.OutOfMemoryError
        Where not even one prompt fits in the memory of the GPU.
    """
    if stays_on_device(backend):
        steps = decode_on_device(backend, embedding, prompts, crop_box, per_batch, tile, tell)
    else:
        steps = _batches(backend, embedding, prompts, crop_box, per_batch, tile, tell)
    batches = yield from steps
    masks_each = 3 if prompts.multimask else 1
    # Empty where no prompt lies in the crop.
    boxes = torch.cat([torch.zeros((0, 4), dtype=torch.int64, device=backend.device),
                       *(b.boxes for b in batches)])  # fmt: skip
    scores = torch.zeros(0, device=boxes.device)
    stability = torch.zeros((N_OFFSETS, 0), device=boxes.device)
    rows, cols = image_shape
    sizes = torch.tensor([len(b.masks) for b in batches], dtype=torch.int64, device=boxes.device)
    near_edge = is_box_near_crop_edge(boxes, list(crop_box), [0, 0, cols, rows])
    return Candidates(
        crop_box=crop_box,
        masks=tuple(mask for b in batches for mask in b.masks),
        points=torch.as_tensor(prompts.places.repeat(masks_each, axis=0)),
        predicted_iou=torch.cat([scores, *(b.predicted_iou for b in batches)]),
        stability=torch.cat([stability, *(b.stability for b in batches)], dim=1),
        boxes=boxes,
        near_edge=torch.zeros_like(near_edge) if tile else near_edge,
        batch=torch.arange(len(batches), device=boxes.device).repeat_interleave(sizes),
        n_batches=len(batches),
        n_prompts=len(prompts),
        prompt_boxes=prompts.boxes,
    )


def _batches(
    backend: Backend, embedding: Embedding, prompts: Prompts, crop_box: CropBox, per_batch: int,
    tile: bool, tell: Tell,
) -> Generator[int, None, list[Batch]]:  # fmt: skip
    """Decode in batches of `per_batch`; yields the number of prompts done after each."""
    batches: list[Batch] = []
    decode = _decode_tile_batch if tile else _decode_batch
    for start in range(0, len(prompts), per_batch):
        some = prompts.part(slice(start, start + per_batch))
        with interrupt.checked():
            batches.append(decode(backend, embedding, some, crop_box, tell))
        yield start + len(some)
    return batches


def _decode_batch(
    backend: Backend, embedding: Embedding, prompts: Prompts, crop_box: CropBox, tell: Tell
) -> Batch:
    low_res, predicted_iou = _low_res(backend, embedding, prompts, tell)
    chunks = _chunks(backend, embedding, low_res)
    parts = [_measure(backend, embedding, part, crop_box) for part in chunks]
    return Batch(
        masks=[mask for part in parts for mask in part.masks],
        predicted_iou=predicted_iou.flatten(0, 1),
        stability=torch.cat([part.stability for part in parts], dim=1),
        boxes=torch.cat([part.boxes for part in parts]),
    )


def _low_res(
    backend: Backend, embedding: Embedding, prompts: Prompts, tell: Tell
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return low-resolution logits (B, M, h, w) and predicted IoU (B, M) of B prompts."""
    try:
        return backend.decode(
            embedding, prompts.points, prompts.labels, prompts.boxes, multimask=prompts.multimask
        )
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    # Outside of `except`, where the error no longer holds the tensors of the failed try.
    half = halved(len(prompts), backend.device, tell)
    halves = prompts.part(slice(half)), prompts.part(slice(half, None))
    parts = [_low_res(backend, embedding, part, tell) for part in halves]
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def _chunks(backend: Backend, embedding: Embedding, low_res: torch.Tensor) -> list[torch.Tensor]:
    """Split (B, M, h, w) so that each part's full-size logits stay below CHUNK_PIXELS."""
    rows, cols = embedding.original_size
    pixels = low_res.shape[1] * max(rows * cols, backend.frame_side**2)
    return list(torch.split(low_res, max(1, CHUNK_PIXELS // pixels)))


@torch.no_grad()
def _measure(
    backend: Backend, embedding: Embedding, low_res: torch.Tensor, crop_box: CropBox
) -> Batch:
    """Draw masks at full size, and measure and pack each within its box."""
    cut = backend.mask_threshold
    logits = backend.upscale(low_res, embedding).flatten(0, 1)
    rungs = rungs_around(cut)
    counts = np.empty((len(logits), len(rungs)), dtype=np.int32)
    masks = []
    for k, (x0, y0, x1, y1) in enumerate(_reach(logits, float(rungs[0])).tolist()):
        interrupt.check()
        # NumPy, not torch: thousands of small steps, for which waking threads costs the most
        window = logits[k, y0 : y1 + 1, x0 : x1 + 1].cpu().numpy()
        counts[k] = clearing(window, rungs)
        masks.append(PackedMask.tight(window > cut, crop_box[1] + y0, crop_box[0] + x0))
    return Batch(
        masks=masks,
        predicted_iou=low_res.new_empty(0),
        stability=stability_of(torch.from_numpy(counts)).to(logits.device),
        boxes=boxes_of(masks, crop_box).to(logits.device),
    )


@torch.no_grad()
def _decode_tile_batch(
    backend: Backend, embedding: Embedding, prompts: Prompts, crop_box: CropBox, tell: Tell
) -> Batch:
    """Decode prompts in windows where possible, and in the whole frame where a window is too small.

    A window is too small for a prompt when one of its masks reaches an edge of the window that is
    not one of the frame.
    """
    if not backend.window_side or prompts.boxes is not None:
        low_res, quality = _low_res(backend, embedding, prompts, tell)
        origins = np.zeros((len(prompts), 2), dtype=np.int64)
        return _draw(backend, embedding, low_res, quality, origins, crop_box)
    assert prompts.points is not None
    assert prompts.labels is not None
    windows, quality, origins = backend.decode_windows(embedding, prompts.points, prompts.labels)
    cut = _reaches_edge(backend, windows, origins)
    found = _draw(backend, embedding, windows, quality, origins, crop_box, skip=cut)
    if cut.any():
        again = prompts.take(np.flatnonzero(cut))
        low_res, whole_quality = _low_res(backend, embedding, again, tell)
        whole = _draw(
            backend, embedding, low_res, whole_quality, np.zeros((len(again), 2), int), crop_box
        )
        found.put(np.flatnonzero(cut.repeat(low_res.shape[1])), whole)
    return found


def _reaches_edge(
    backend: Backend, windows: torch.Tensor, origins: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return for which prompts (B,) a mask of (B, M, h, w) is cut off by an inner edge."""
    above = (windows > backend.mask_threshold).any(dim=1).cpu().numpy()
    far = np.array(backend.low_res_shape) - windows.shape[2:]
    inner = np.concatenate([origins > 0, origins < far], axis=1)
    edges = [above[:, 0], above[:, :, 0], above[:, -1], above[:, :, -1]]
    reached = np.stack([edge.any(axis=1) for edge in edges], axis=1)
    return np.asarray((reached & inner).any(axis=1))


def _draw(
    backend: Backend,
    embedding: Embedding,
    low_res: torch.Tensor,
    quality: torch.Tensor,
    origins: NDArray[np.int64],
    crop_box: CropBox,
    skip: NDArray[np.bool_] | None = None,
) -> Batch:
    """Draw, measure and pack masks (B, M, h, w), each where it lies; `skip` leaves prompts out."""
    cut = backend.mask_threshold
    rungs = rungs_around(cut)
    resizer = Resizer.of(backend, embedding)
    n_prompts, each = low_res.shape[:2]
    logits = low_res.cpu().numpy()
    counts = np.zeros((n_prompts * each, len(rungs)), dtype=np.int32)
    masks = [PackedMask.of(np.zeros((1, 1), dtype=bool), 0, 0)] * len(counts)
    for k in range(len(counts)):
        if skip is not None and skip[k // each]:
            continue
        row, col = origins[k // each].tolist()
        drawn, top, left = resizer.window(logits[k // each, k % each], (row, col), float(rungs[0]))
        counts[k] = clearing(drawn, rungs)
        masks[k] = PackedMask.tight(drawn > cut, crop_box[1] + top, crop_box[0] + left)
    device = low_res.device
    boxes = boxes_of(masks, crop_box).to(device)
    return Batch(
        masks, quality.flatten(0, 1), stability_of(torch.from_numpy(counts)).to(device), boxes
    )


def _reach(logits: torch.Tensor, lowest: float) -> torch.Tensor:
    """Return inclusive boxes (x0, y0, x1, y1) of all logits (n, H, W) above `lowest`.

    int64, shape (n, 4); the upper left pixel where there is none.
    """
    edges = []
    for highest in (logits.amax(dim=1), logits.amax(dim=2)):
        above = (highest > lowest).to(torch.uint8)
        last = (above.shape[1] - 1 - above.flip(1).argmax(1)) * above.amax(1)
        edges.append((above.argmax(1), last))
    (left, right), (top, bottom) = edges
    return torch.stack([left, top, right, bottom], dim=-1)
