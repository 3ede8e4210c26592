"""Metrics of a label image against ground truth; never used by the search."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse

AP_THRESHOLDS = np.round(np.arange(0.5, 0.96, 0.05), 2)


@dataclass(frozen=True)
class Score:
    """Agreement of a label image with ground truth.

    Attributes
    ----------
    true, found, matched : int
        Number of objects in the ground truth, in the labels, and of matches with IoU >= 0.5.
    f1 : float
        2 matched / (true + found) at IoU 0.5.
    mean_ap : float
        TP / (TP + FP + FN), averaged over IoU 0.5, 0.55, ..., 0.95, as in the 2018 Data Science
        Bowl.
    """

    true: int
    found: int
    matched: int
    f1: float
    mean_ap: float


def score(truth: NDArray[np.integer], labels: NDArray[np.integer]) -> Score:
    """Score `labels` against `truth`: integer arrays of the same shape, 0 is background."""
    if truth.shape != labels.shape:
        raise ValueError(f"truth {truth.shape} and labels {labels.shape} differ in shape")
    ious = iou_matrix(truth, labels)
    counts = [_count_matches(ious, float(t)) for t in AP_THRESHOLDS]
    n_true, n_found = ious.shape
    matched = counts[0]
    ap = [tp / max(1, n_true + n_found - tp) for tp in counts]
    f1 = 2 * matched / (n_true + n_found) if n_true + n_found else 1.0
    return Score(n_true, n_found, matched, f1, float(np.mean(ap)))


def iou_matrix(truth: NDArray[np.integer], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the IoU of each true object (rows) with each found object (columns)."""
    _, t = np.unique(np.append(truth, 0), return_inverse=True)
    _, f = np.unique(np.append(labels, 0), return_inverse=True)
    t, f = t[:-1], f[:-1]
    both = sparse.coo_array((np.ones(t.size), (t, f)), shape=(t.max() + 1, f.max() + 1)).toarray()
    union = both.sum(1, keepdims=True) + both.sum(0, keepdims=True) - both
    return np.asarray((both / np.maximum(union, 1))[1:, 1:])


def _count_matches(ious: NDArray[np.float64], threshold: float) -> int:
    """Return the size of the largest one-to-one matching at IoU >= `threshold`."""
    if not ious.size:
        return 0
    allowed = ious >= threshold
    rows, cols = optimize.linear_sum_assignment(allowed, maximize=True)
    return int(allowed[rows, cols].sum())


@dataclass(frozen=True)
class Agreement:
    """Mean agreement with ground truth over several images.

    Attributes
    ----------
    images : tuple of Score
        One score per image.
    """

    images: tuple[Score, ...]

    @property
    def f1(self) -> float:
        """Mean F1 at IoU 0.5 over images."""
        return float(np.mean([s.f1 for s in self.images]))

    @property
    def mean_ap(self) -> float:
        """Mean of `Score.mean_ap` over images."""
        return float(np.mean([s.mean_ap for s in self.images]))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "f1": self.f1,
            "mean_ap": self.mean_ap,
            "images": [asdict(s) for s in self.images],
        }
