"""Decode on a GPU: as many prompts at once as fit, and masks measured where the model runs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, TypeGuard

import torch
from torch import Tensor

from napari_samstar.core import interrupt
from napari_samstar.core.amg.batch import Batch, rungs_around, stability_of
from napari_samstar.core.amg.device_masks import DeviceMasks, Transfer, measure
from napari_samstar.core.models.device import free_memory, is_out_of_memory

if TYPE_CHECKING:
    from napari_samstar.core.amg.candidates import CropBox
    from napari_samstar.core.models.backend import Backend, DeviceBackend, Embedding
    from napari_samstar.core.prompts.base import Prompts

Tell = Callable[[str], None]

CHUNK_PIXELS = 2**26
"""Full-size logits held at once: 256 MB of float32, and some times that for what is measured."""


def nobody(sentence: str) -> None:
    """Take a sentence that nobody hears."""


def stays_on_device(backend: Backend) -> TypeGuard[DeviceBackend]:
    """Return whether a model decodes as `decode_on_device` does."""
    return bool(getattr(backend, "measures_on_device", False))


def halved(count: int, device: torch.device, tell: Tell) -> int:
    """Return half of the prompts that were too many for the memory.

    Raises
    ------
    torch.OutOfMemoryError
        Where it was only one.
    """
    free_memory(device)
    if count < 2:
        raise torch.OutOfMemoryError("Not even one prompt fits in the memory of the GPU.")
    tell("The GPU had too little memory for a batch of prompts, so fewer were decoded at once.")
    return count // 2


def decode_on_device(
    backend: DeviceBackend,
    embedding: Embedding,
    prompts: Prompts,
    crop_box: CropBox,
    per_batch: int,
    tile: bool,
    tell: Tell = nobody,
) -> Generator[int, None, list[Batch]]:
    """Decode all prompts for one crop; yields the number of prompts done.

    The masks of one batch come to the CPU while the next one is decoded. See `decode_prompts`.
    """
    size = max(per_batch, backend.prompts_at_once)
    batches: list[Batch] = []
    waiting: _Decoded | None = None
    start = 0
    while start < len(prompts):
        some = prompts.part(slice(start, start + size))
        with interrupt.checked():
            decoded = _tried(backend, embedding, some, crop_box, tile)
        if waiting is not None:
            batches.append(waiting.batch())
        waiting = decoded
        if decoded is None:
            size = halved(len(some), backend.device, tell)
            continue
        start += len(some)
        yield start
    if waiting is not None:
        batches.append(waiting.batch())
    return batches


class _Decoded:
    """A batch whose masks are on their way to the CPU."""

    def __init__(self, quality: Tensor, masks: DeviceMasks, crop_box: CropBox) -> None:
        self._quality = quality.flatten(0, 1)
        self._stability = stability_of(masks.counts)
        self._boxes = masks.boxes
        self._transfer = Transfer(masks, crop_box)

    def batch(self) -> Batch:
        """Wait for the masks."""
        return Batch(self._transfer.wait(), self._quality, self._stability, self._boxes)


def _tried(
    backend: DeviceBackend, embedding: Embedding, prompts: Prompts, crop_box: CropBox, tile: bool
) -> _Decoded | None:
    """Decode and measure one batch; None where the memory does not suffice."""
    try:
        logits, quality = _logits(backend, embedding, prompts, tile)
        return _Decoded(quality, _measured(backend, embedding, logits, crop_box), crop_box)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None


@torch.no_grad()
def _measured(
    backend: DeviceBackend, embedding: Embedding, low_res: Tensor, crop_box: CropBox
) -> DeviceMasks:
    """Draw low-resolution logits (B, M, h, w) at full size, some at a time, and measure them."""
    cut = backend.mask_threshold
    rungs = torch.from_numpy(rungs_around(cut)).to(low_res.device)
    rows, cols = embedding.original_size
    pixels = low_res.shape[1] * max(rows * cols, backend.frame_side**2)
    parts = []
    for some in torch.split(low_res, max(1, CHUNK_PIXELS // pixels)):
        drawn = backend.upscale(some, embedding).flatten(0, 1)
        parts.append(measure(drawn, cut, rungs, crop_box))
    return DeviceMasks.joined(parts)


def _logits(
    backend: DeviceBackend, embedding: Embedding, prompts: Prompts, tile: bool
) -> tuple[Tensor, Tensor]:
    """Return logits (B, M, h, w) of the whole frame and predicted IoU (B, M)."""
    if not (tile and backend.window_side and prompts.boxes is None):
        return backend.decode(
            embedding, prompts.points, prompts.labels, prompts.boxes, multimask=prompts.multimask
        )
    assert prompts.points is not None
    assert prompts.labels is not None
    windows, quality, corners = backend.decode_windows(embedding, prompts.points, prompts.labels)
    origins = torch.from_numpy(corners).to(windows.device)
    lowest = float(rungs_around(backend.mask_threshold)[0])
    frames = in_frame(windows, origins, backend.low_res_shape, lowest)
    # Masks that the edge of their window cuts off are decoded in the whole frame.
    cut = reaches_edge(windows > backend.mask_threshold, origins, backend.low_res_shape)
    rows = torch.nonzero(cut)[:, 0]
    if len(rows):
        again = prompts.take(rows.cpu().numpy())
        frames[rows], quality[rows] = backend.decode(
            embedding, again.points, again.labels, None, multimask=True
        )
    return frames, quality


def in_frame(windows: Tensor, origins: Tensor, shape: tuple[int, int], fill: float) -> Tensor:
    """Put windows (B, M, h, w) at their origins (B, 2), (row, col), into frames (B, M, *shape)."""
    n, each, h, w = windows.shape
    frames = windows.new_full((n, each, *shape), fill)
    row = origins[:, :1] + torch.arange(h, device=windows.device)
    col = origins[:, 1:] + torch.arange(w, device=windows.device)
    batch = torch.arange(n, device=windows.device)
    at = batch[:, None, None], slice(None), row[:, :, None], col[:, None, :]
    frames[at] = windows.permute(0, 2, 3, 1)
    return frames


def reaches_edge(above: Tensor, origins: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return for which prompts (B,) a mask of bool (B, M, h, w) is cut off by an inner edge."""
    masks = above.any(1)
    far = torch.tensor(shape, device=above.device) - torch.tensor(
        masks.shape[1:], device=above.device
    )
    inner = torch.cat([origins > 0, origins < far], 1)
    edges = masks[:, 0], masks[:, :, 0], masks[:, -1], masks[:, :, -1]
    return (torch.stack([edge.any(1) for edge in edges], 1) & inner).any(1)
