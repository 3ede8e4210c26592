"""Measure and pack masks on the device; only their bits come to the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_samstar.core.masks.store import BITS, BitWindow, PackedMask

CropBox = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class DeviceMasks:
    """n masks of a crop, measured; all tensors lie on the device.

    Attributes
    ----------
    counts : Tensor, int32, shape (n, number of rungs)
        Logits above each rung of the ladder.
    boxes : Tensor, int64, shape (n, 4)
        (x0, y0, x1, y1), inclusive, px of the crop; zeros for an empty mask.
    areas : Tensor, int64, shape (n,)
        px.
    words : Tensor, int64, shape (m,)
        The bits of all masks within their boxes, one after another, 64 columns in each word.
    """

    counts: Tensor
    boxes: Tensor
    areas: Tensor
    words: Tensor

    @classmethod
    def joined(cls, parts: list[DeviceMasks]) -> DeviceMasks:
        """Return the masks of several parts."""
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*(torch.cat(column) for column in columns))


def measure(logits: Tensor, cut: float, rungs: Tensor, crop_box: CropBox) -> DeviceMasks:
    """Threshold, measure and pack full-size logits (n, H, W) of a crop.

    Parameters
    ----------
    cut : float
        Logits above it are object.
    rungs : Tensor, float32, shape (k,)
        Ascending cut-offs at which logits are counted.
    crop_box : (x0, y0, x1, y1)
        The crop, px of the image: words begin at columns of the image that are multiples of 64.
    """
    above = logits > cut
    rows, cols = above.any(2), above.any(1)
    boxes = torch.stack([_first(cols), _first(rows), _last(cols), _last(rows)], 1)
    lead = crop_box[0] % BITS
    words = pack_columns(above, lead)
    x0, y0, x1, y1 = boxes.T[:, :, None]
    row, word = (torch.arange(n, device=logits.device) for n in words.shape[1:])
    in_rows = (row >= y0) & (row <= y1)
    in_words = (word >= (x0 + lead) // BITS) & (word <= (x1 + lead) // BITS)
    kept = words[in_rows[:, :, None] & in_words[:, None, :]]
    return DeviceMasks(ladder(logits.flatten(1), rungs), boxes, above.sum((1, 2)), kept)


def ladder(logits: Tensor, rungs: Tensor) -> Tensor:
    """Return how many of the logits (n, m) lie above each rung: int32, shape (n, k)."""
    n, k = len(logits), len(rungs)
    over = logits > rungs[-1]
    band = (logits > rungs[0]) & ~over
    # How many rungs each logit of the band lies above, counted for each mask.
    level = torch.bucketize(logits[band], rungs)
    mask = torch.arange(n, device=logits.device)[:, None].expand_as(logits)[band]
    levels = torch.bincount(mask * (k + 1) + level, minlength=n * (k + 1)).view(n, k + 1)
    at_least = levels.flip(1).cumsum(1).flip(1)[:, 1:]
    return (at_least + over.sum(1, keepdim=True)).int()


def pack_columns(masks: Tensor, lead: int) -> Tensor:
    """Pack bool (n, H, W), after `lead` empty columns, to int64 words (n, H, k) as `store.pack`."""
    n, h, w = masks.shape
    padded = F.pad(masks.to(torch.uint8), (lead, -(lead + w) % BITS))
    bits = (1 << torch.arange(8, device=masks.device)).to(torch.uint8)
    octets = (padded.view(n, h, -1, 8) * bits).sum(-1, dtype=torch.uint8)
    return octets.view(torch.int64)


def _first(any_of: Tensor) -> Tensor:
    """Return the first True of each row of (n, m); 0 where there is none."""
    return any_of.to(torch.uint8).argmax(1)


def _last(any_of: Tensor) -> Tensor:
    """Return the last True of each row of (n, m); 0 where there is none."""
    last = any_of.shape[1] - 1 - any_of.flip(1).to(torch.uint8).argmax(1)
    return last * any_of.any(1)


class Transfer:
    """The way of masks to the CPU; it runs beside what the device does next.

    Parameters
    ----------
    masks : DeviceMasks
    crop_box : (x0, y0, x1, y1)
        The crop, px of the image.
    """

    def __init__(self, masks: DeviceMasks, crop_box: CropBox) -> None:
        self._crop_box = crop_box
        about = torch.cat([masks.boxes, masks.areas[:, None]], 1)
        self._about, self._words = to_host(about), to_host(masks.words)
        self._event: Any = None
        if masks.words.device.type == "cuda":
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record(torch.cuda.current_stream(masks.words.device))

    def wait(self) -> list[PackedMask]:
        """Return the masks, in the frame of the image, once they are here."""
        if self._event is not None:
            self._event.synchronize()
        words = self._words.numpy().view(np.uint64)
        x, y = self._crop_box[:2]
        lead, first = x % BITS, x // BITS
        masks, start = [], 0
        for x0, y0, x1, y1, area in self._about.tolist():
            word0, word1 = (x0 + lead) // BITS, (x1 + lead) // BITS + 1
            shape = y1 - y0 + 1, word1 - word0
            end = start + shape[0] * shape[1]
            # A copy, or each mask would keep the bits of all.
            window = BitWindow(words[start:end].reshape(shape).copy(), y + y0, first + word0)
            box = (y + y0, x + x0, y + y1 + 1, x + x1 + 1) if area else (0, 0, 0, 0)
            masks.append(PackedMask(window, box, area))
            start = end
        return masks


def to_host(tensor: Tensor) -> Tensor:
    """Start a copy to the CPU; it is complete when the device's stream has come to it."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)
