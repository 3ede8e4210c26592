from __future__ import annotations

import argparse

import numpy as np
import pytest
import torch

from napari_samstar.core.models.pocket import build_pocket
from training import losses, prompts, real, scoring, train
from training.calibrate import Candidates, select, set_calibration
from training.data import BatchConfig, batch, flip
from training.synth import generate
from training.targets import dense_targets
from training.train import TrainingRun, export, losses_of, on_device


@pytest.fixture(autouse=True)
def one_thread():
    """One thread is fastest for small tensors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


CONFIG = BatchConfig(size=64, crops=2, prompts=4, real_share=0.0)


def test_the_loss_of_one_repeated_batch_decreases() -> None:
    torch.manual_seed(0)
    made = on_device("cpu", batch([], CONFIG, np.random.default_rng(3)))
    model = build_pocket().train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    totals = []
    for step in range(12):
        loss = sum(losses_of(model, made, with_prompts=True, corrections=step % 3).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 3 == 0:  # without corrections, so that the totals are comparable
            totals.append(float(loss.detach()))
    assert np.isfinite(totals).all()
    assert totals[-1] < 0.7 * totals[0]


def test_each_correction_round_adds_a_click_and_passes_the_previous_logits(monkeypatch) -> None:
    torch.manual_seed(0)
    calls = []
    decode = train._WindowDecoder.decode

    def recorded(self, owner, points, boxes, previous=None, box_points=None):
        extra = None if box_points is None else box_points[0].shape[1]
        calls.append((len(owner), points[0].shape[1], extra, previous))
        answer = decode(self, owner, points, boxes, previous, box_points)
        calls.append(answer[0])
        return answer

    monkeypatch.setattr(train._WindowDecoder, "decode", recorded)
    config = BatchConfig(size=64, crops=3, prompts=6, real_share=0.0)
    made = on_device("cpu", batch([], config, np.random.default_rng(3)))
    parts = losses_of(build_pocket().train(), made, with_prompts=True, corrections=2)
    assert {"mask", "mask2", "mask3", "iou2", "iou3"} <= parts.keys()
    assert all(torch.isfinite(value) and value > 0 for value in parts.values())
    first, _, second, answer, third, _ = calls
    assert first[1:] == (1, None, None)
    assert (second[1:3], third[1:3]) == ((2, 1), (3, 2))
    half = int((made["kind"] != prompts.BACKGROUND).sum() + 1) // 2
    assert second[0] == third[0] == half
    assert torch.equal(third[3], answer.detach()[:, 0])
    assert not third[3].requires_grad


def test_without_corrections_there_is_one_mask_loss() -> None:
    made = on_device("cpu", batch([], CONFIG, np.random.default_rng(3)))
    parts = losses_of(build_pocket().train(), made, with_prompts=True, corrections=0)
    assert "mask" in parts
    assert "mask2" not in parts


def test_batch_shapes_and_targets() -> None:
    made = batch([], CONFIG, np.random.default_rng(0))
    count = len(made["owner"])
    assert made["image"].shape == (2, 3, 64, 64)
    assert made["dense"].shape == (2, 7, 16, 16)
    assert made["target"].shape == (count, 32, 32)
    wanted = made["kind"] != prompts.BACKGROUND
    assert (made["target"].amax((1, 2))[wanted] > 0).all()
    assert (made["target"][~wanted] == 0).all()
    rows, cols = (made["point"] / 2).long().T.flip(0)
    assert (made["target"][torch.arange(count), rows, cols][wanted] > 0).all()


def test_flip_moves_masks_with_the_image() -> None:
    mask = np.array([[1, 1, 0], [1, 0, 0]], bool)
    image = np.zeros((12, 9), np.uint8)
    image[4:6, 2:5][mask] = 200
    for seed in range(16):
        turned, masks = flip(image, ((4, 2, mask),), np.random.default_rng(seed))
        ((r, c, m),) = masks
        painted = np.zeros_like(turned)
        painted[r : r + m.shape[0], c : c + m.shape[1]][m] = 200
        assert np.array_equal(painted, turned)


def test_dense_targets_point_at_the_centroid() -> None:
    label = np.zeros((32, 32), np.int32)
    label[4:20, 8:24] = 1
    target = dense_targets(label)
    assert target[0].sum() == 16
    rows = np.arange(8)[:, None] * 4 + 2
    inside = target[6] > 0
    assert inside.sum() == 16
    assert np.allclose((target[3] * 16 + rows)[inside], 12)
    assert np.allclose(target[5][inside], 0)


def test_error_click_lands_on_the_error() -> None:
    target = torch.zeros(2, 32, 32)
    target[:, 4:12, 4:12] = 1
    logits = torch.full((2, 32, 32), -5.0)
    logits[0, 4:12, 4:8] = 5  # the right half is missing
    logits[1, 4:12, 4:12] = 5
    logits[1, 20:30, 20:30] = 5  # too much
    at, label = prompts.error_click(logits, target)
    assert label.tolist() == [1, 0]
    assert 16 <= at[0, 0] < 24
    assert 8 <= at[0, 1] < 24
    assert (at[1] >= 40).all()


def test_perfect_masks_have_no_loss_and_iou_one() -> None:
    target = torch.zeros(1, 32, 32)
    target[:, 8:16, 8:16] = 1
    right = (40 * target - 20)[:, None].expand(-1, 4, -1, -1)
    assert losses.mask_losses(right, target).max() < 1e-3
    assert losses.mask_losses(-right, target).min() > 1
    assert losses.true_iou(right, target).eq(1).all()
    assert losses.true_iou(-right, target).eq(0).all()


def test_calibration_scales_logits_and_maps_the_threshold(tmp_path) -> None:
    torch.manual_seed(1)
    model = build_pocket()
    export(model, tmp_path / "raw.safetensors")
    before, after = (scoring.load_model(tmp_path / "raw.safetensors") for _ in "ab")
    set_calibration(after, factor=3.0, least=0.2)
    image = generate("tem", (512, 512), np.random.default_rng(0)).image
    with torch.no_grad():
        answers = [_answer(m, image) for m in (before, after)]
    (low, iou), (low3, iou3) = answers
    torch.testing.assert_close(low3, 3 * low, atol=1e-3, rtol=1e-3)
    power = after.mask_decoder.quality_power
    assert float(0.2**power) == pytest.approx(0.88)
    torch.testing.assert_close(iou3, iou**power, atol=1e-4, rtol=1e-3)
    train.uncalibrate(after)
    for name, value in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[name], value, msg=name)


def _answer(model, image):
    embedding = model.image_encoder(scoring.frame_tensor(image, model))
    points = (torch.tensor([[[200.0, 120.0]]]), torch.ones(1, 1, dtype=torch.int))
    sparse, dense = model.prompt_encoder(points, None, None)
    return model.mask_decoder(embedding, model.prompt_encoder.get_dense_pe(), sparse, dense, True)


def test_selection_drops_unstable_masks_and_duplicates() -> None:
    box = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    stability = np.ones((3, 8))
    stability[2] = 0.5
    found = Candidates(
        "s", 1, np.array([0.6, 0.7, 0.9], np.float32), stability, box, np.ones(3), np.ones(3)
    )
    assert select(found, factor=0, least=0.5).tolist() == [1]


def test_f1_counts_each_object_once() -> None:
    assert scoring.f1(np.array([1, 1]), np.array([0.9, 0.8]), objects=1) == pytest.approx(2 / 3)
    assert scoring.f1(np.array([], int), np.array([]), objects=2) == 0.0


def test_no_image_is_in_two_splits() -> None:
    seen: set[tuple[str, str]] = set()
    for sets in real.splits().values():
        for name, stems in sets.items():
            these = {(name, stem) for stem in stems}
            assert len(these) == len(stems)
            assert not these & seen
            seen |= these
    trained = set(real.splits()["train"]) | set(real.splits()["validation"])
    assert not trained & set(real.splits()["unseen"])


def test_a_run_can_start_from_given_weights(tmp_path) -> None:
    torch.manual_seed(7)
    export(build_pocket(), tmp_path / "start.safetensors", {})
    args = argparse.Namespace(
        out=tmp_path / "run",
        start=tmp_path / "start.safetensors",
        seed=0,
        device="cpu",
        rate=1e-3,
    )
    run = TrainingRun(args)
    torch.manual_seed(7)
    expected = build_pocket().state_dict()
    for part in (run.model, run.average):
        for name, value in part.state_dict().items():
            torch.testing.assert_close(value, expected[name].half().float(), msg=name)
