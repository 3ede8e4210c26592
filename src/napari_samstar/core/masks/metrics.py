"""Metrics of a label image against ground truth; never used by the search."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

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
    (t, n_true), (f, n_found) = _ranks(truth), _ranks(labels)
    both = np.bincount(t * n_found + f, minlength=n_true * n_found).reshape(n_true, n_found)
    union = both.sum(1, keepdims=True) + both.sum(0, keepdims=True) - both
    return np.asarray((both / np.maximum(union, 1))[1:, 1:])


def _ranks(labels: NDArray[np.integer]) -> tuple[NDArray[np.int64], int]:
    """Return for each pixel the rank of its label among those present and 0, and their number."""
    flat = labels.ravel()
    if flat.size and flat.min() >= 0 and flat.max() <= 4 * flat.size + 65_536:
        present = np.bincount(flat) > 0  # much faster than sorting
        present[0] = True
        return (np.cumsum(present) - 1)[flat], int(present.sum())
    values, ranks = np.unique(np.append(flat, 0), return_inverse=True)
    return np.asarray(ranks[:-1], dtype=np.int64), len(values)


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
