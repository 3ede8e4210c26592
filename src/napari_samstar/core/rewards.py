"""Kept masks -> named rewards: what a physically good segmentation is, without labels.

Every reward lies in [0, 1], higher is better, and is 0 for an empty selection. A reward that
could be won by throwing masks away is paired with `coverage` through their harmonic mean, so that
it is high only where both are.

Symbols: kept masks m_i with area a_i (px) and equivalent diameter d_i = 2 sqrt(a_i / pi), union U,
foreground estimate F, small and large diameters d_S and d_L.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import spatial

from napari_samstar.core.facts import EDGE_TOLERANCE
from napari_samstar.core.masks import count

if TYPE_CHECKING:
    from napari_samstar.core.facts import ImageFacts
    from napari_samstar.core.features import Features
    from napari_samstar.core.select import Selection

DUPLICATE_IOU = 0.6
"""Above this two masks show the same object; below, an occluded neighbour."""

NESTED_SHARE = 0.9
"""Share of the smaller mask inside the larger one from which it counts as lying inside."""

CONTACT_SHARE = 0.2
"""Share of a mask's contour along a neighbour from which the two may be one cut object."""

EDGE_SHARE = 0.35
"""Share of a contact on an intensity edge from which the contact is a real border."""

CONTACT_ENDS = 2 * (EDGE_TOLERANCE + 1)
"""Contact pixels, px, that lie on the edge of the pair's own outline and so say nothing."""


@dataclass(frozen=True)
class Sizes:
    """Which objects count as small and as large: diameters d_S and d_L, px."""

    small: float
    large: float

    @classmethod
    def typical(cls, facts: ImageFacts) -> Sizes:
        """Guess from the image: small is below twice, large above four times the median blob."""
        diameters = facts.blobs[:, 2]
        median = float(np.median(diameters)) if len(diameters) else min(facts.gray.shape) / 20
        return cls(small=2 * median, large=4 * median)


@dataclass(frozen=True, eq=False)
class View:
    """One selection as the rewards see it; shared quantities are computed once."""

    selection: Selection
    features: Features
    sizes: Sizes

    @property
    def ids(self) -> NDArray[np.int64]:
        """Mask ids, shape (k,)."""
        return self.selection.ids

    @cached_property
    def coverage(self) -> float:
        """Dice of U and F."""
        union = self.features.union(self.ids)
        total = count(union) + count(self.features.foreground)
        return 2 * count(union & self.features.foreground) / total if total else 0.0

    @cached_property
    def diameters(self) -> NDArray[np.float64]:
        """Equivalent diameters, px, shape (k,)."""
        return self.features.diameter(self.ids)

    @cached_property
    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """See `Features.pairs`."""
        return self.features.pairs(self.ids)

    def paired(self, share: float) -> float:
        """Return the harmonic mean of `share` and coverage."""
        total = share + self.coverage
        return 2 * share * self.coverage / total if total > 0 else 0.0


Compute = Callable[[View], float]


@dataclass(frozen=True)
class Reward:
    """A named reward.

    Attributes
    ----------
    name, label, help : str
        Identifier; a few words; one plain sentence.
    objective : int
        The objective, 0 to 2, that it belongs to unless the user says otherwise.
    weight : float
        Its weight unless the user says otherwise.
    compute : callable
        From a non-empty `View` to a number in [0, 1].
    """

    name: str
    label: str
    help: str
    objective: int
    weight: float
    compute: Compute

    def __call__(self, view: View) -> float:
        """Return the reward of `view`: 0 if it is empty, else within [0, 1]."""
        if not len(view.ids):
            return 0.0
        return float(min(1.0, max(0.0, self.compute(view))))


REWARDS: dict[str, Reward] = {}


def reward(
    *, label: str, help: str, objective: int, weight: float = 1.0
) -> Callable[[Compute], Compute]:
    """Register the decorated function as a reward under its own name."""

    def register(compute: Compute) -> Compute:
        name = compute.__name__
        REWARDS[name] = Reward(name, label, help, objective, weight, compute)
        return compute

    return register


def evaluate(view: View) -> dict[str, float]:
    """Return every registered reward of `view` by name."""
    return {name: r(view) for name, r in REWARDS.items()}


@reward(
    label="Covers the foreground",
    help="The masks together cover what stands out from the background, and nothing else.",
    objective=0,
)
def coverage(view: View) -> float:
    """2 |U and F| / (|U| + |F|). Ours."""
    return view.coverage


@reward(
    label="Overlap, but no duplicates",
    help="Objects may hide parts of each other; the same object twice, or one inside another, "
    "counts against.",
    objective=1,
)
def overlap_fidelity(view: View) -> float:
    """Share of masks that repeat no larger one, paired with coverage.

    m_i repeats m_j (a_i <= a_j) where IoU(m_i, m_j) >= 0.6 or |m_i and m_j| / a_i >= 0.9. An
    occluded neighbour (IoU below 0.6) does not. After the overlap objective of SAM*
    (arXiv 2509.07047), which gives no formula.
    """
    index, shared = view.pairs
    areas = view.features.area(view.ids)
    small, large = areas[index[:, 0]], areas[index[:, 1]]
    both = shared[:, 0]
    iou = both / np.maximum(small + large - both, 1)
    repeats = (iou >= DUPLICATE_IOU) | (both >= NESTED_SHARE * np.maximum(small, 1))
    return view.paired(1 - _share(index[repeats, 0], len(areas)))


@reward(
    label="No object in pieces",
    help="A mask that is a fragment of a larger one, or is cut from its neighbour where the image "
    "shows no edge, counts against.",
    objective=1,
)
def no_oversegmentation(view: View) -> float:
    """Share of masks that are no fragment, paired with coverage.

    m_i is a fragment of m_j (a_i <= a_j) where 0.9 of it lies inside m_j, or where at least 0.2
    of its contour runs within 2 px of m_j and less than 0.35 of that contact, its ends (3 px
    each) left out if it is longer, lies on an intensity edge. Ours, after the over-segmentation
    objective of SAM* (arXiv 2509.07047).
    """
    index, shared = view.pairs
    areas = view.features.area(view.ids)
    contour = view.features.contour_length(view.ids)
    both, contact, on_edge = shared.T
    inside = both >= NESTED_SHARE * np.maximum(areas[index[:, 0]], 1)
    long = contact >= CONTACT_SHARE * np.maximum(contour[index[:, 0]], 1)
    ends = np.where(contact > CONTACT_ENDS, CONTACT_ENDS, 0)
    cut = long & (on_edge - ends < EDGE_SHARE * (contact - ends))
    return view.paired(1 - _share(index[inside | cut, 0], len(areas)))


@reward(
    label="Small objects",
    help="Small objects are found, one mask for each spot that stands out.",
    objective=0,
    weight=0.5,
)
def small_objects(view: View) -> float:
    """F1 of small masks (d < d_S) against small blobs of a multi-scale Laplacian of Gaussian.

    A blob is found by the nearest unused small mask whose centre lies within half the blob's
    diameter. Where the image has no small blob it is the share of masks that are not small.
    Ours; independent blob counts as a reward: arXiv 2404.14146.
    """
    blobs = view.features.facts.blobs
    blobs = blobs[blobs[:, 2] < view.sizes.small]
    small = view.diameters < view.sizes.small
    if not len(blobs):
        return view.paired(1 - float(small.mean()))
    found = _matches(blobs, _centres(view)[small])
    return 2 * found / (len(blobs) + int(small.sum()))


@reward(
    label="Large objects",
    help="Large objects are covered by large masks, not left out or broken up.",
    objective=0,
    weight=0.5,
)
def large_objects(view: View) -> float:
    """Dice of the union of large masks (d > d_L) and of large foreground components.

    Where the foreground has no large component it is the share of masks that are not large,
    paired with coverage. Ours.
    """
    large = view.diameters > view.sizes.large
    truth = view.features.large_foreground(view.sizes.large)
    if not truth.any():
        return view.paired(1 - float(large.mean()))
    union = view.features.union(view.ids[large])
    return 2 * count(union & truth) / (count(union) + count(truth))


@reward(
    label="Outlines on edges",
    help="Outlines follow edges that are visible in the image.",
    objective=1,
)
def boundary(view: View) -> float:
    """Mean share s of each contour within 2 px of an intensity edge, above chance, paired.

    max(0, (s - p) / (1 - p)) with p the share of the image that lies so near an edge: a contour
    drawn anywhere scores 0 on average. Paired with coverage. Ours.
    """
    chance = view.features.edge_share
    share = float(view.features.on_edge(view.ids).mean())
    return view.paired(max(0.0, (share - chance) / max(1 - chance, 1e-9)))


@reward(
    label="SAM's confidence",
    help="SAM itself rates the masks as good and stable.",
    objective=1,
    weight=0.5,
)
def confidence(view: View) -> float:
    """Mean of predicted IoU and stability, each clipped to [0, 1], paired with coverage. Ours."""
    chosen = view.selection
    scores = np.concatenate([chosen.predicted_iou, np.nan_to_num(chosen.stability)])
    return view.paired(float(np.clip(scores, 0, 1).mean()))


def _share(positions: NDArray[np.int64], n: int) -> float:
    return len(np.unique(positions)) / n


def _centres(view: View) -> NDArray[np.float64]:
    """Return the centres (row, col) of the masks' boxes, px."""
    boxes = view.features.store.boxes(view.ids.tolist())
    return np.asarray((boxes[:, :2] + boxes[:, 2:] - 1) / 2)


def _matches(blobs: NDArray[np.float64], centres: NDArray[np.float64]) -> int:
    """Return how many blobs pair off with a centre, each used once, nearest first."""
    if not len(centres):
        return 0
    reach = blobs[:, 2] / 2
    tree = spatial.KDTree(centres)
    near = tree.query_ball_point(blobs[:, :2], reach)
    blob = np.repeat(np.arange(len(blobs)), [len(n) for n in near])
    centre = np.array([c for n in near for c in n], dtype=np.int64)
    gap = np.linalg.norm(blobs[blob, :2] - centres[centre], axis=1)
    free_blob, free_centre = np.ones(len(blobs), bool), np.ones(len(centres), bool)
    for k in np.argsort(gap, kind="stable"):
        if free_blob[blob[k]] and free_centre[centre[k]]:
            free_blob[blob[k]] = free_centre[centre[k]] = False
    return int((~free_blob).sum())
