from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_samstar.core.adaptation.losses import (
    balanced_bce,
    ignore_far_pixels,
    mask_loss,
    rank_loss,
)
from napari_samstar.core.adaptation.target_masks import (
    IGNORE,
    LowResFrame,
    click_target,
    mask_target,
)
from napari_samstar.core.interactive.clicks import Click
from tests.core.disc_image import SHAPE, disc, embedding, pocket


@pytest.fixture(scope="module")
def frame():
    return LowResFrame.from_embedding(pocket(), embedding())


def test_the_frame_excludes_the_padding(frame):
    assert frame.shape == (256, 256)
    assert frame.valid == (154, 256)  # 120 of 200 rows
    assert frame.scale == pytest.approx((1.28, 1.28), rel=0.01)


def test_no_click_is_lost_at_any_image_size():
    """Clicks scattered at full resolution and shrunk to the frame mostly vanish."""
    for side in (200, 1024, 4096):
        frame = LowResFrame((256, 256), (256, 256), (256 / side, 256 / side))
        for at in np.linspace(0, side - 1, 23):
            target = click_target([Click(at, at)], frame, radius=0)
            assert (target == 1).sum() >= 1


def test_click_targets_are_discs_at_the_clicks(frame):
    target = click_target([Click(60, 100), Click(10, 10, positive=False)], frame, radius=2)
    assert 9 <= (target == 1).sum() <= 16
    centre = (target == 1).nonzero().float().mean(0).tolist()
    assert centre == pytest.approx(
        [60.5 * frame.scale[0] - 0.5, 100.5 * frame.scale[1] - 0.5], abs=1
    )


def test_discs_of_opposite_clicks_do_not_overlap(frame):
    target = click_target([Click(60, 100), Click(60, 102, positive=False)], frame, radius=3)
    row = target[int(60.5 * frame.scale[0])]
    assert row[int(100.5 * frame.scale[1])] == 1
    assert row[int(102.5 * frame.scale[1])] == 0


def test_padding_is_ignored(frame):
    for target in (
        click_target([Click(119, 100, positive=False)], frame, radius=3),
        mask_target(disc(1), frame, erosion=1),
    ):
        assert (target[frame.valid[0] :] == IGNORE).all()
        assert (target[: frame.valid[0]] != IGNORE).any()


def test_object_and_background_are_eroded_separately(frame):
    sharp, eroded = (mask_target(disc(1), frame, erosion=n) for n in (0, 2))
    assert not (sharp[: frame.valid[0]] == IGNORE).any()
    for label in (0.0, 1.0):
        assert ((eroded == label) <= (sharp == label)).all()
        assert (eroded == label).sum() < (sharp == label).sum()
    assert (eroded[0] == 0).all()  # the image's edge is no edge of the background


def test_a_small_object_survives_erosion(frame):
    speck = np.zeros(SHAPE, bool)
    speck[50:53, 50:53] = True
    assert (mask_target(speck, frame, erosion=4) == 1).any()


def test_bce_weights_both_classes_equally():
    target = torch.zeros(20, 20)
    target[0, 0] = 1
    logits = torch.full((20, 20), -3.0)
    wrong = balanced_bce(logits, target)
    assert wrong == pytest.approx((3.0486 + 0.0486) / 2, abs=1e-3)
    target[0, 0] = IGNORE
    assert balanced_bce(logits, target) == pytest.approx(0.0486, abs=1e-3)
    target[:] = IGNORE
    assert balanced_bce(logits, target) == 0


def test_ignored_pixels_have_no_gradient():
    target = torch.full((8, 8), IGNORE)
    target[1, 1], target[6, 6] = 1, 0
    logits = torch.zeros(1, 8, 8, requires_grad=True)
    mask_loss(logits, target).sum().backward()
    assert (logits.grad[0][target == IGNORE] == 0).all()
    assert logits.grad[0, 1, 1] < 0 < logits.grad[0, 6, 6]


def test_far_pixels_are_ignored():
    target = torch.zeros(100, 100)
    target[50:55, 50:55] = 1
    near = ignore_far_pixels(target)
    assert (near != IGNORE).sum() == (5 + 2 * 10) ** 2


def test_rank_loss_does_not_shift_the_mean_predicted_iou():
    quality = torch.tensor([0.9, 0.5, 0.7], requires_grad=True)
    target = torch.zeros(8, 8)
    target[:4] = 1
    logits = torch.full((3, 8, 8), -1.0)
    logits[1, :4] = 1  # the best mask has the lowest predicted quality
    rank_loss(quality, logits, target).backward()
    assert quality.grad.sum() == pytest.approx(0, abs=1e-6)
    assert quality.grad[1] < 0 < quality.grad[0]
