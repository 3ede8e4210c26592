from __future__ import annotations

import numpy as np
import pytest

from napari_samstar.core.masks.metrics import iou_matrix, score

TRUTH = np.zeros((60, 60), dtype=np.int32)
for k in range(9):
    TRUTH[20 * (k // 3) : 20 * (k // 3) + 10, 20 * (k % 3) : 20 * (k % 3) + 10] = 10 * k + 5


def test_scores_of_a_perfect_result():
    found = score(TRUTH, np.where(TRUTH, 1000 - TRUTH, 0))
    assert (found.true, found.found, found.matched) == (9, 9, 9)
    assert found.f1 == found.mean_ap == 1


def test_scores_of_empty_labels_and_empty_truth():
    empty = np.zeros_like(TRUTH)
    assert score(TRUTH, empty).f1 == score(TRUTH, empty).mean_ap == 0
    assert score(empty, TRUTH).f1 == 0
    assert score(empty, empty).f1 == 1


def test_missed_and_false_objects_lower_the_scores():
    labels = TRUTH.copy()
    labels[labels == 5] = 0
    labels[50:55, 12:17] = 7
    found = score(TRUTH, labels)
    assert (found.true, found.found, found.matched) == (9, 9, 8)
    assert found.f1 == pytest.approx(16 / 18)
    assert found.mean_ap == pytest.approx(8 / 10)


def test_ap_is_the_mean_over_iou_thresholds():
    truth, labels = np.zeros((2, 10, 10), dtype=int)
    truth[:, :] = 1
    labels[:6] = 1  # IoU 0.6 reaches 0.5, 0.55 and 0.6
    assert iou_matrix(truth, labels).tolist() == [[0.6]]
    assert score(truth, labels).mean_ap == pytest.approx(0.3)


def test_each_object_is_matched_once():
    truth = np.array([[1] * 10 + [0]])
    labels = np.array([[1] * 6 + [2] * 4 + [0]])
    found = score(truth, labels)
    assert (found.matched, found.found) == (1, 2)
    assert found.f1 == pytest.approx(2 / 3)


def test_different_image_shapes_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        score(TRUTH, TRUTH[1:])
