"""Samples: an image and the masks of its instances, cut to their bounding boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Patch:
    """One particle before rendering; `rho` < 1 inside. Its upper left corner is at (row, col)."""

    row: int
    col: int
    rho: np.ndarray  # (h, w) float32
    angle: np.ndarray  # (h, w) float32, polar angle about the centre, radians

    @property
    def mask(self) -> np.ndarray:
        return self.rho < 1

    def clipped(self, shape: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Slices of the frame and of the patch in which both overlap; may be empty."""
        h, w = self.rho.shape
        r0, c0 = max(self.row, 0), max(self.col, 0)
        r1, c1 = max(min(self.row + h, shape[0]), r0), max(min(self.col + w, shape[1]), c0)
        frame = (slice(r0, r1), slice(c0, c1))
        own = (slice(r0 - self.row, r1 - self.row), slice(c0 - self.col, c1 - self.col))
        return frame, own


@dataclass(frozen=True)
class Sample:
    """A micrograph with exact ground truth; masks of transparent objects may overlap."""

    image: np.ndarray  # (H, W) uint8
    masks: tuple[tuple[int, int, np.ndarray], ...]  # (row, col, (h, w) bool), inside the frame

    def stack(self) -> np.ndarray:
        """All instances as (N, H, W) bool."""
        out = np.zeros((len(self.masks), *self.image.shape), bool)
        for layer, (r, c, m) in zip(out, self.masks, strict=True):
            layer[r : r + m.shape[0], c : c + m.shape[1]] = m
        return out

    def label(self) -> np.ndarray:
        """Instances as a label image (H, W) int32, ids from 1, with smaller ones on top."""
        out = np.zeros(self.image.shape, np.int32)
        for i in sorted(range(len(self.masks)), key=lambda i: -int(self.masks[i][2].sum())):
            r, c, m = self.masks[i]
            out[r : r + m.shape[0], c : c + m.shape[1]][m] = i + 1
        return out


def transparent_masks(
    patches: list[Patch], shape: tuple[int, int], least: int = 9
) -> tuple[tuple[int, int, np.ndarray], ...]:
    """Complete masks of `patches`, including parts that others cover."""
    out = []
    for patch in patches:
        frame, own = patch.clipped(shape)
        mask = patch.mask[own]
        if mask.sum() >= least:
            out.append((frame[0].start, frame[1].start, mask))
    return tuple(out)


def opaque_masks(
    patches: list[Patch], shape: tuple[int, int], least: int = 9
) -> tuple[tuple[int, int, np.ndarray], ...]:
    """Visible parts of `patches`, where later ones cover earlier ones."""
    label = np.zeros(shape, np.int32)
    for i, patch in enumerate(patches, 1):
        frame, own = patch.clipped(shape)
        label[frame][patch.mask[own]] = i
    out = []
    for i, patch in enumerate(patches, 1):
        frame, _ = patch.clipped(shape)
        mask = label[frame] == i
        if mask.sum() >= least:
            out.append((frame[0].start, frame[1].start, mask))
    return tuple(out)


def masks_of_label(label: np.ndarray, least: int = 9) -> tuple[tuple[int, int, np.ndarray], ...]:
    """Masks of a label image (H, W)."""
    from scipy.ndimage import find_objects

    out = []
    for i, where in enumerate(find_objects(label), 1):
        if where is not None and (mask := label[where] == i).sum() >= least:
            out.append((where[0].start, where[1].start, mask))
    return tuple(out)


def without(
    masks: tuple[tuple[int, int, np.ndarray], ...], hidden: np.ndarray, least: int = 9
) -> tuple[tuple[int, int, np.ndarray], ...]:
    """Masks without the `hidden` (H, W) pixels."""
    out = []
    for r, c, mask in masks:
        visible = mask & ~hidden[r : r + mask.shape[0], c : c + mask.shape[1]]
        if visible.sum() >= least:
            out.append((r, c, visible))
    return tuple(out)
