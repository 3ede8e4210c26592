"""Choice of the candidate mask that fits all clicks best, and warping of its contour to fit them.

A user clicks into the middle of an error. So a correcting click says more than "this pixel is
inside": its distance d to the current contour is roughly also its distance to the true contour, on
the other side. Masks are therefore represented by signed distances (positive inside, px). Each
click is a noisy measurement of the true signed distance. The difference between the true signed
distance and a candidate's is modelled as a Gaussian process whose length scale is proportional to
the object's radius. In closed form this gives

- how well a candidate agrees with all clicks (the marginal likelihood), and
- the smooth displacement of its contour that makes it agree (the posterior mean).

A Gaussian process on a signed distance is an implicit surface as in Williams and Fitzgibbon
(Gaussian process implicit surfaces, 2007). New here: the prior mean is a mask predicted by the
model, and the likelihood of the clicks chooses among several such masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Window = tuple[slice, slice]
FloatArray = NDArray[np.float64]

LENGTH_SCALE = 0.5
"""Of the displacement, in radii of a disc of the mask's area."""

AMPLITUDE = 0.3
"""Standard deviation of the displacement, in the same radii."""

POSITION_NOISE = 0.5
"""Standard deviation of a click's position, px."""

DISTANCE_NOISE = 0.25
"""Standard deviation of a click's distance to the true contour, as a share of that distance."""

QUALITY_WEIGHT = 3.0
"""Weight of log(predicted IoU) in a candidate's score."""

CENTRALITY_WEIGHT = 1.0
"""Weight of the log of how central the first click is: users start in an object's middle."""

SIDE_EFFECT_WEIGHT = 1.0
"""Weight of the log of how much deeper than the clicked error a candidate changes the mask."""

N_RECENT_CLICKS = 6
"""Number of latest clicks for which side effects are measured."""

COMPARISON_SIDE = 192
"""px; larger windows are subsampled by a whole factor before two masks are compared."""

MIN_RADIUS = 4.0
"""px; smaller masks are warped as if they had this radius."""

MARGIN = 24
"""px around a mask within which its signed distance is stored; beyond it is extrapolated."""

MAX_HOLE = 0.05
"""Holes up to this share of the mask are filled, unless a negative click lies in them."""


@dataclass(frozen=True)
class ClickConstraint:
    """A measurement of the true signed distance at one pixel.

    Attributes
    ----------
    row, col : int
        In the frame in which contours are fitted, px.
    distance : float
        True signed distance, px, positive inside.
    sign_only : bool
        Whether only the sign of `distance` is known.
    clicked_mask : Candidate, optional
        The mask that the user saw and clicked on. Users click where a mask is most wrong.
    implied : bool
        Whether this is no click, but follows from a mask that is being refined.
    """

    row: int
    col: int
    distance: float
    sign_only: bool = False
    clicked_mask: Candidate | None = None
    implied: bool = False


@dataclass(frozen=True, eq=False)
class Candidate:
    """A mask that the user may mean, as a signed distance.

    Attributes
    ----------
    distance : ndarray of float32, shape (h, w)
        Signed distance to the contour in a window around the mask, px, positive inside.
    origin : (int, int)
        First row and column of the window in the frame.
    frame_shape : (int, int)
    area : int
        Of the mask, px.
    predicted_iou : float
    """

    distance: NDArray[np.float32]
    origin: tuple[int, int]
    frame_shape: tuple[int, int]
    area: int
    predicted_iou: float

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_], predicted_iou: float) -> Candidate | None:
        """Return the candidate of a mask, bool of shape (H, W); None for an empty one."""
        rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            return None
        spans = [_add_margin(line, n) for line, n in zip((rows, cols), mask.shape, strict=True)]
        window = (slice(*spans[0]), slice(*spans[1]))
        part = mask[window]
        origin = (spans[0][0], spans[1][0])
        shape = (mask.shape[0], mask.shape[1])
        return cls(signed_distance(part), origin, shape, int(part.sum()), float(predicted_iou))

    @property
    def radius(self) -> float:
        """Radius of a disc of the mask's area, px; at least `MIN_RADIUS`."""
        return max(float(np.sqrt(self.area / np.pi)), MIN_RADIUS)

    def distance_at(self, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> FloatArray:
        """Return the signed distance at pixels of the frame, px."""
        r, c = rows - self.origin[0], cols - self.origin[1]
        inner_r = np.clip(r, 0, self.distance.shape[0] - 1)
        inner_c = np.clip(c, 0, self.distance.shape[1] - 1)
        beyond = np.hypot(r - inner_r, c - inner_c)
        return np.asarray(self.distance[inner_r, inner_c].astype(float) - beyond)


def signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return each pixel's distance to the contour, px: positive inside, negative outside.

    The image's border is no contour. A mask without a contour gives the image's diagonal.
    """
    inside = mask.astype(np.uint8)
    diagonal = float(np.hypot(*mask.shape))
    if mask.all() or not mask.any():
        return np.full(mask.shape, diagonal if mask.all() else -diagonal, np.float32)
    inner = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    outer = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(np.where(mask, inner - 0.5, 0.5 - outer), dtype=np.float32)


def best_candidate(
    candidates: Sequence[Candidate], constraints: Sequence[ClickConstraint]
) -> Candidate:
    """Return the candidate of the highest `candidate_score`; the first of equal ones."""
    return max(candidates, key=lambda c: candidate_score(c, constraints))


def candidate_score(candidate: Candidate, constraints: Sequence[ClickConstraint]) -> float:
    """Return how well a candidate agrees with the clicks; higher is better.

    The sum of

    - the log-likelihood of the clicks if the candidate is right up to a smooth displacement,
    - `QUALITY_WEIGHT` times the log of its predicted IoU,
    - `CENTRALITY_WEIGHT` times the log of the first click's depth in it, relative to its deepest
      pixel, and
    - minus `SIDE_EFFECT_WEIGHT` times `_side_effects`.
    """
    process = _DisplacementProcess(candidate, constraints)
    # Log-likelihood of a multivariate normal, by the Cholesky factor of its covariance
    factor = np.linalg.cholesky(process.covariance)
    whitened = np.linalg.solve(factor, process.residuals)
    likelihood = -0.5 * float(whitened @ whitened) - float(np.log(np.diag(factor)).sum())
    score = likelihood + QUALITY_WEIGHT * float(np.log(max(candidate.predicted_iou, 1e-3)))
    if constraints[0].distance > 0:
        depth = float(candidate.distance_at(*process.points[:1].T)[0])
        centrality = max(depth, 0.0) / candidate.distance.max() + 0.05
        score += CENTRALITY_WEIGHT * float(np.log(centrality))
    return score - SIDE_EFFECT_WEIGHT * _side_effects(candidate, constraints)


def depth_of_change(a: Candidate, b: Candidate) -> float:
    """Return the radius of the largest disc that fits into the difference of two masks, px."""
    low = np.minimum(a.origin, b.origin)
    high = np.maximum(np.add(a.origin, a.distance.shape), np.add(b.origin, b.distance.shape))
    step = 1 + int((high - low).max()) // COMPARISON_SIDE
    masks = []
    for candidate in (a, b):
        mask = np.zeros(tuple(high - low), dtype=np.uint8)
        row, col = np.subtract(candidate.origin, low)
        rows, cols = candidate.distance.shape
        mask[row : row + rows, col : col + cols] = candidate.distance > 0
        masks.append(mask[::step, ::step])
    difference = np.pad(masks[0] ^ masks[1], 1)
    return step * float(cv2.distanceTransform(difference, cv2.DIST_L2, cv2.DIST_MASK_5).max())


def warp_contour(
    candidate: Candidate, constraints: Sequence[ClickConstraint]
) -> tuple[NDArray[np.float32], Window]:
    """Displace a candidate's contour until it agrees with the clicks.

    Returns
    -------
    level_set : ndarray of float32, shape (h, w)
        Positive inside; a distance in px only near zero.
    window : (slice, slice)
        Its place in the frame; everything beyond is outside.
    """
    process = _DisplacementProcess(candidate, constraints)
    window = _warp_window(candidate, process)
    rows, cols = np.ogrid[window]
    out = candidate.distance_at(*np.broadcast_arrays(rows, cols))
    if np.abs(process.residuals).max(initial=0.0) > 0:
        # Posterior mean: one kernel for each click, weighted
        weights = np.linalg.solve(process.covariance, process.residuals) * process.variance
        for (row, col), weight in zip(process.points, weights, strict=True):
            out += weight * _matern32(np.hypot(rows - row, cols - col), process.length_scale)
    return out.astype(np.float32), window


def clean_mask(
    mask: NDArray[np.bool_], constraints: Sequence[ClickConstraint]
) -> NDArray[np.bool_]:
    """Remove components without a positive click, fill small holes without a negative one.

    All components stay if none contains a positive click. Clicked pixels are set as clicked.
    Background that the mask cuts off at the border counts as a hole: pad the mask to avoid that.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
    constraints : sequence of ClickConstraint
        In the frame of `mask`.
    """
    mask = mask.copy()
    for c in constraints:
        mask[c.row, c.col] = c.distance > 0
    components, count = ndimage.label(mask)
    clicked = {int(components[c.row, c.col]) for c in constraints if c.distance > 0} - {0}
    if count > 1 and clicked:
        mask = np.isin(components, sorted(clicked))
    holes, count = ndimage.label(~mask)
    if count > 1:
        fill = np.bincount(holes.ravel()) < MAX_HOLE * mask.sum()
        fill[0] = False
        fill[[int(holes[c.row, c.col]) for c in constraints if c.distance <= 0]] = False
        mask |= fill[holes]
    return mask


class _DisplacementProcess:
    """Gaussian process of the difference between the true signed distance and a candidate's.

    Attributes
    ----------
    points : ndarray of intp, shape (n, 2)
        Clicked pixels (row, col).
    residuals : ndarray of float64, shape (n,)
        Measured minus candidate's signed distance at the clicks, px.
    covariance : ndarray of float64, shape (n, n)
        Of the residuals, measurement noise included, px^2.
    length_scale, variance : float
        Of the prior, px and px^2.
    """

    def __init__(self, candidate: Candidate, constraints: Sequence[ClickConstraint]) -> None:
        self.points = np.array([(c.row, c.col) for c in constraints], dtype=np.intp).reshape(-1, 2)
        measured = np.array([c.distance for c in constraints])
        sign_only = np.array([c.sign_only for c in constraints], dtype=bool)
        found = candidate.distance_at(self.points[:, 0], self.points[:, 1])
        # Where only the sign is known, a candidate of that sign has no residual
        sign = np.sign(measured)
        lenient = sign * np.maximum(sign * found, np.abs(measured))
        measured = np.where(sign_only, lenient, measured)
        self.residuals = measured - found
        self.length_scale = LENGTH_SCALE * candidate.radius
        self.variance = (AMPLITUDE * candidate.radius) ** 2
        offsets = self.points[:, None] - self.points[None]
        kernel = _matern32(np.hypot(offsets[..., 0], offsets[..., 1]), self.length_scale)
        noise = POSITION_NOISE**2 + (DISTANCE_NOISE * measured) ** 2
        self.covariance = self.variance * kernel + np.diag(noise)


def _matern32(distance: FloatArray, length_scale: float) -> FloatArray:
    """Matern kernel of order 3/2 (Rasmussen and Williams 2006, equation 4.17)."""
    scaled = np.sqrt(3) * distance / length_scale
    return np.asarray((1 + scaled) * np.exp(-scaled))


def _side_effects(candidate: Candidate, constraints: Sequence[ClickConstraint]) -> float:
    """Sum over recent clicks of the log of (depth of change / depth of the clicked error).

    Users click where a mask is most wrong. So a candidate that differs from the clicked mask
    more deeply than the clicked error is less likely.
    """
    total = 0.0
    for constraint in [c for c in constraints if c.clicked_mask is not None][-N_RECENT_CLICKS:]:
        assert constraint.clicked_mask is not None
        depth = depth_of_change(candidate, constraint.clicked_mask)
        total += float(np.log(max(depth / (abs(constraint.distance) + 0.5), 1.0)))
    return total


def _warp_window(candidate: Candidate, process: _DisplacementProcess) -> Window:
    """Return where a displaced contour may lie: the candidate's window and around the clicks."""
    reach = int(6 * process.length_scale) + 2
    low = np.minimum(candidate.origin, process.points.min(0) - reach)
    high = np.maximum(
        np.add(candidate.origin, candidate.distance.shape), process.points.max(0) + reach + 1
    )
    low, high = np.maximum(low, 0), np.minimum(high, candidate.frame_shape)
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


def _add_margin(line: NDArray[np.intp], size: int) -> tuple[int, int]:
    first, last = int(line[0]), int(line[-1]) + 1
    return max(first - MARGIN, 0), min(last + MARGIN, size)
