"""The outline that clicks ask for: which of SAM's answers fits them best, bent until it fits.

A correcting click is made in the middle of an error. So it says more than "this pixel is inside":
its distance d from the outline on show is also, up to a guess, its distance from the true outline,
on the other side. A mask is therefore seen as a signed distance (positive inside, px), each click
as a noisy reading of the true one, and the difference between the two as a Gaussian process of a
length tied to the object's size. That gives, in closed form,

- how well any of SAM's answers agrees with all clicks so far (its marginal likelihood), and
- the smooth displacement of its outline that makes it agree (the posterior mean).

A Gaussian process on a signed distance is Williams and Fitzgibbon's implicit surface (Gaussian
process implicit surfaces, 2007); taking the mean from a segmenter's answers and choosing among them
by the clicks' likelihood is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Window = tuple[slice, slice]
Float = NDArray[np.float64]

LENGTH = 0.5
"""The displacement's length, in radii of a circle as large as the mask."""

SPREAD = 0.3
"""Its standard deviation, in the same radii."""

NOISE = 0.5
"""px; a click is known no better."""

SHARE = 0.25
"""A click's distance from the true outline is known to this share of it."""

QUALITY = 3.0
"""Weight of the logarithm of predicted IoU beside the clicks' log-likelihood."""

MIDDLE = 1.0
"""Weight of the logarithm of how central the first click lies: one clicks into the middle."""

ELSEWHERE = 1.0
"""Weight of the logarithm of how far a mask changes what was on show deeper than at the click."""

RECENT = 6
"""So many of the latest clicks are asked what they say about the rest of the mask."""

COARSE = 192
"""px; larger windows are compared at whole fractions of their resolution."""

LEAST_RADIUS = 4.0
"""px; smaller masks bend as if they were so large."""

MARGIN = 24
"""px around a mask in which its signed distance is kept; farther out it is extrapolated."""

HOLE = 0.05
"""Holes up to this share of the mask are filled where no click asked for them."""


@dataclass(frozen=True)
class ClickConstraint:
    """What one click says: a pixel (row, col), and the true signed distance there, px.

    `distance` is positive inside; where `exact` is false only its sign is known. `shown` is the
    mask that was clicked on, if any: one clicks where a mask is most wrong. `implied` was not
    clicked but follows from a mask to refine.
    """

    row: int
    col: int
    distance: float
    exact: bool = True
    shown: Candidate | None = None
    implied: bool = False


@dataclass(frozen=True, eq=False)
class Candidate:
    """A mask that may be meant, as a signed distance.

    Attributes
    ----------
    distance : ndarray of float32, shape (h, w)
        Signed distance to the outline in a window around the mask, px, positive inside.
    corner : (int, int)
        The window's first row and column in the frame.
    shape : (int, int)
        The frame's.
    area : int
        px of the mask.
    quality : float
        Predicted IoU.
    """

    distance: NDArray[np.float32]
    corner: tuple[int, int]
    shape: tuple[int, int]
    area: int
    quality: float

    @classmethod
    def of(cls, mask: NDArray[np.bool_], quality: float) -> Candidate | None:
        """Return the candidate of a mask (H, W); None for an empty one."""
        rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            return None
        spans = [_widened(line, n) for line, n in zip((rows, cols), mask.shape, strict=True)]
        window = (slice(*spans[0]), slice(*spans[1]))
        part = mask[window]
        corner = (spans[0][0], spans[1][0])
        shape = (mask.shape[0], mask.shape[1])
        return cls(signed_distance(part), corner, shape, int(part.sum()), float(quality))

    @property
    def radius(self) -> float:
        """Of a circle as large as the mask, px; at least `LEAST_RADIUS`."""
        return max(float(np.sqrt(self.area / np.pi)), LEAST_RADIUS)

    def at(self, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> Float:
        """Return the signed distance at pixels of the frame."""
        r, c = rows - self.corner[0], cols - self.corner[1]
        inner_r = np.clip(r, 0, self.distance.shape[0] - 1)
        inner_c = np.clip(c, 0, self.distance.shape[1] - 1)
        beyond = np.hypot(r - inner_r, c - inner_c)
        return np.asarray(self.distance[inner_r, inner_c].astype(float) - beyond)


def signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance of each pixel to the outline, px: positive inside, negative outside.

    The image's border is no outline. Without an outline the distance is that across the image.
    """
    inside = mask.astype(np.uint8)
    far = float(np.hypot(*mask.shape))
    if mask.all() or not mask.any():
        return np.full(mask.shape, far if mask.all() else -far, np.float32)
    within = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    beyond = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(np.where(mask, within - 0.5, 0.5 - beyond), dtype=np.float32)


def best(candidates: Sequence[Candidate], constraints: Sequence[ClickConstraint]) -> Candidate:
    """Return the candidate that agrees best with all clicks; the first of equal ones."""
    return max(candidates, key=lambda c: agreement(c, constraints))


def agreement(candidate: Candidate, constraints: Sequence[ClickConstraint]) -> float:
    """Log-likelihood of the clicks if the candidate were right but for a smooth displacement.

    Plus `QUALITY` times the logarithm of its predicted IoU and `MIDDLE` times that of the first
    click's depth in it as a share of its deepest pixel's; up to a constant.
    """
    fit = _Fit(candidate, constraints)
    factor = np.linalg.cholesky(fit.covariance)
    white = np.linalg.solve(factor, fit.missing)
    likelihood = -0.5 * float(white @ white) - float(np.log(np.diag(factor)).sum())
    score = likelihood + QUALITY * float(np.log(max(candidate.quality, 1e-3)))
    if constraints[0].distance > 0:
        depth = float(candidate.at(*fit.points[:1].T)[0])
        score += MIDDLE * float(np.log(max(depth, 0.0) / candidate.distance.max() + 0.05))
    return score - ELSEWHERE * _changed_elsewhere(candidate, constraints)


def depth_of_change(a: Candidate, b: Candidate) -> float:
    """Radius of the largest disc that fits into the difference of two masks, px."""
    low = np.minimum(a.corner, b.corner)
    high = np.maximum(np.add(a.corner, a.distance.shape), np.add(b.corner, b.distance.shape))
    step = 1 + int((high - low).max()) // COARSE
    masks = []
    for one in (a, b):
        mask = np.zeros(tuple(high - low), dtype=np.uint8)
        row, col = np.subtract(one.corner, low)
        rows, cols = one.distance.shape
        mask[row : row + rows, col : col + cols] = one.distance > 0
        masks.append(mask[::step, ::step])
    differs = np.pad(masks[0] ^ masks[1], 1)
    return step * float(cv2.distanceTransform(differs, cv2.DIST_L2, cv2.DIST_MASK_5).max())


def _changed_elsewhere(candidate: Candidate, constraints: Sequence[ClickConstraint]) -> float:
    """Sum over clicks of the logarithm of how much too deep a change of the mask clicked on is.

    One clicks where a mask is most wrong. So a candidate that differs from it by more than the
    depth of that error is the less likely, the deeper.
    """
    total = 0.0
    for constraint in [r for r in constraints if r.shown is not None][-RECENT:]:
        assert constraint.shown is not None
        depth = depth_of_change(candidate, constraint.shown)
        total += float(np.log(max(depth / (abs(constraint.distance) + 0.5), 1.0)))
    return total


def warp_contour(
    candidate: Candidate, constraints: Sequence[ClickConstraint]
) -> tuple[NDArray[np.float32], Window]:
    """Displace a candidate's outline until it agrees with the clicks.

    Returns
    -------
    distance : ndarray of float32, shape (h, w)
        Positive inside; only its sign near zero is a distance.
    window : (slice, slice)
        Where in the frame; beyond is outside.
    """
    fit = _Fit(candidate, constraints)
    window = _reached(candidate, fit)
    rows, cols = np.ogrid[window]
    out = candidate.at(*np.broadcast_arrays(rows, cols))
    if np.abs(fit.missing).max(initial=0.0) > 0:
        weights = np.linalg.solve(fit.covariance, fit.missing) * fit.variance
        for (row, col), weight in zip(fit.points, weights, strict=True):
            out += weight * _similarity(np.hypot(rows - row, cols - col), fit.length)
    return out.astype(np.float32), window


def tidy(mask: NDArray[np.bool_], constraints: Sequence[ClickConstraint]) -> NDArray[np.bool_]:
    """Keep the parts that a click asked for, and fill small holes that none asked for.

    All parts stay where no click lies in any; every click's own pixel is as clicked.
    """
    mask = mask.copy()
    for r in constraints:
        mask[r.row, r.col] = r.distance > 0
    parts, count = ndimage.label(mask)
    wanted = {int(parts[r.row, r.col]) for r in constraints if r.distance > 0} - {0}
    if count > 1 and wanted:
        mask = np.isin(parts, sorted(wanted))
    holes, count = ndimage.label(~mask)
    if count > 1:
        small = np.bincount(holes.ravel()) < HOLE * mask.sum()
        small[0] = False
        small[[int(holes[r.row, r.col]) for r in constraints if r.distance <= 0]] = False
        mask |= small[holes]
    return mask


class _Fit:
    """A candidate beside the readings: what it lacks at each, and how sure that is."""

    def __init__(self, candidate: Candidate, constraints: Sequence[ClickConstraint]) -> None:
        self.points = np.array([(r.row, r.col) for r in constraints], dtype=np.intp).reshape(-1, 2)
        wanted = np.array([r.distance for r in constraints])
        known = np.array([r.exact for r in constraints], dtype=bool)
        found = candidate.at(self.points[:, 0], self.points[:, 1])
        side = np.sign(wanted)
        # Where only the side is known, a candidate on that side lacks nothing.
        wanted = np.where(known, wanted, side * np.maximum(side * found, np.abs(wanted)))
        self.missing = wanted - found
        self.length = LENGTH * candidate.radius
        self.variance = (SPREAD * candidate.radius) ** 2
        apart = self.points[:, None] - self.points[None]
        similar = _similarity(np.hypot(apart[..., 0], apart[..., 1]), self.length)
        noise = NOISE**2 + (SHARE * wanted) ** 2
        self.covariance = self.variance * similar + np.diag(noise)


def _similarity(distance: Float, length: float) -> Float:
    """Matern's of order 3/2 (Rasmussen and Williams 2006, equation 4.17)."""
    scaled = np.sqrt(3) * distance / length
    return np.asarray((1 + scaled) * np.exp(-scaled))


def _reached(candidate: Candidate, fit: _Fit) -> Window:
    """Where a displaced outline may lie: the candidate's window and around the clicks."""
    reach = int(6 * fit.length) + 2
    low = np.minimum(candidate.corner, fit.points.min(0) - reach)
    high = np.maximum(
        np.add(candidate.corner, candidate.distance.shape), fit.points.max(0) + reach + 1
    )
    low, high = np.maximum(low, 0), np.minimum(high, candidate.shape)
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


def _widened(line: NDArray[np.intp], size: int) -> tuple[int, int]:
    first, last = int(line[0]), int(line[-1]) + 1
    return max(first - MARGIN, 0), min(last + MARGIN, size)
