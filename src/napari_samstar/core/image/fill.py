"""Values that fill the border of stitched, rotated and drift-corrected images.

Software puts a constant where it has no image: 0, the largest value of the type, -9999. Such pixels
must not decide which intensities become black and white.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Bool: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

LEAST_SHARE = 0.001
"""Share of the plane; fewer pixels change no percentile."""

LEAST_PIXELS = 32
"""A few pixels in a corner are no border."""

LEAST_GAP = 0.1
"""A fill value lies further from all other intensities than this share of their range. Without a
gap, it is the darkest background or a saturated object, and changes the contrast little."""

LEAST_CONNECTED = 0.9
"""Share of the other pixels that must hang together: what a fill value surrounds is one picture,
what a constant background surrounds is many objects."""

LOW, HIGH = 0.1, 99.9
"""Percentiles between which the range of the other intensities is measured."""

_MOST_VALUES = 4


@dataclass(frozen=True, eq=False)
class Fill:
    """Pixels without an image.

    Attributes
    ----------
    mask : ndarray of bool, shape (H, W)
    values : tuple of float
        What they hold.
    """

    mask: Bool
    values: tuple[float, ...]

    @property
    def note(self) -> str:
        """One sentence for the user."""
        listed = " and ".join(f"{value:g}" for value in self.values)
        return (
            f"{self.mask.mean():.0%} of the plane, at its border, holds the fill value {listed} "
            "and does not count for the contrast."
        )


def find_fill(plane: Array) -> Fill | None:
    """Return the pixels at the border that are filled with a constant; None where there are none.

    A region counts where it is connected, reaches a corner of the plane, holds the smallest or the
    largest value exactly, no other intensity is near that value, and the rest hangs together.

    Parameters
    ----------
    plane : ndarray, shape (H, W) or (H, W, 3)
        Any numeric type. NaN and infinity are left out.
    """
    if plane.dtype.kind == "b":
        return None
    filled = np.zeros(plane.shape[:2], dtype=bool)
    values: list[float] = []
    while len(values) < _MOST_VALUES:
        found = next(_candidates(plane, filled), None)
        if found is None:
            break
        value, mask = found
        filled |= mask
        values.append(value)
    return Fill(filled, tuple(values)) if values else None


def _candidates(plane: Array, known: Bool) -> Iterator[tuple[float, Bool]]:
    """Yield a value and its region at the border, one that is far from everything else."""
    for value in _corner_values(plane, known):
        region = _at_corners(_equal(plane, value) & ~known)
        if region.sum() < max(LEAST_PIXELS, LEAST_SHARE * region.size):
            continue
        rest = plane[~(region | known)]
        rest = rest[np.isfinite(rest)]
        if rest.size and _is_far(float(value), rest) and _hangs_together(~(region | known)):
            yield float(value), region


def _corner_values(plane: Array, known: Bool) -> list[Any]:
    """Return the values at the corners that are not filled yet."""
    corners = [(r, c) for r in (0, -1) for c in (0, -1) if not known[r, c]]
    values = [plane[at] for at in corners]
    if plane.ndim == 3:
        values = [v[0] for v in values if (v == v[0]).all()]
    return [v for v in dict.fromkeys(values) if np.isfinite(v)]


def _equal(plane: Array, value: Any) -> Bool:
    equal: Bool = np.asarray(plane == value)
    return np.asarray(equal.all(axis=2)) if plane.ndim == 3 else equal


def _at_corners(mask: Bool) -> Bool:
    """Return the connected regions of a mask that hold a corner of the plane."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    corners = {int(labels[r, c]) for r in (0, -1) for c in (0, -1)} - {0}
    found: Bool = np.isin(labels, list(corners))
    return found


def _hangs_together(mask: Bool) -> bool:
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    sizes = np.bincount(labels.ravel())[1:]
    return bool(sizes.max(initial=0) >= LEAST_CONNECTED * sizes.sum())


def _is_far(value: float, rest: Array) -> bool:
    low, high = (float(v) for v in np.percentile(rest, [LOW, HIGH]))
    gap = max(low - value, value - high)
    return high > low and gap > LEAST_GAP * (high - low)
