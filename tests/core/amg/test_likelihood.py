"""Probabilities of candidates: their features, the filter, and what they are worth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from napari_samstar import sample_data
from napari_samstar.core.amg import likelihood
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.candidates import Candidates
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.ladder import N_OFFSETS
from napari_samstar.core.amg.likelihood import FEATURES, Seen, features
from napari_samstar.core.amg.select import probability_of, select
from napari_samstar.core.amg.tile_store import pack, unpack
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.prepare import prepare
from napari_samstar.core.masks.store import PackedMask
from napari_samstar.core.models.loading import load
from napari_samstar.core.progress import run
from tests.core.painted import disc
from tests.core.tiny import tiny_model

CENTRES = AmgConfig(prompts="centres")
ONE, TWO = (30, 30), (30, 70)


def seen(size=16.0):
    """Return what a model sees of two discs of radius 9 in an image of 60 x 100 px."""
    cells = np.arange(2, 100, 4)
    rows, cols = cells[cells < 60], cells
    return Seen(
        peaks=np.array([ONE, TWO]),
        heights=np.array([0.9, 0.6]),
        rows=rows,
        cols=cols,
        sizes=np.full((len(rows), len(cols)), size),
    )


def candidates(masks, given=None):
    """Return candidates with a predicted IoU of 0.9 and a stability of 0.8."""
    n = len(masks)
    packed = tuple(PackedMask.tight(mask, 0, 0) for mask in masks)
    return Candidates(
        crop_box=(0, 0, 100, 60), masks=packed, points=torch.zeros(n, 2, dtype=torch.float64),
        predicted_iou=torch.full((n,), 0.9), stability=torch.full((N_OFFSETS, n), 0.8),
        boxes=torch.zeros(n, 4, dtype=torch.int64), near_edge=torch.zeros(n, dtype=torch.bool),
        batch=torch.zeros(n, dtype=torch.int64), n_batches=1, n_prompts=n, given=given,
    )  # fmt: skip


def test_features_of_one_object_two_objects_a_piece_and_nothing():
    shape = (60, 100)
    one, two = disc(shape, *ONE, 9), disc(shape, *TWO, 9)
    piece = one.copy()
    piece[:, 28:] = False
    masks = [one, one | two, piece, np.zeros(shape, dtype=bool)]
    columns = features(candidates(masks), seen()).T
    found = dict(zip(FEATURES, columns, strict=True))
    assert found["quality"] == pytest.approx(10 * np.log(0.9))
    assert found["stability"] == pytest.approx(0.8)
    assert found["centre"].tolist() == [0.9, 0.9, 0, 0]
    assert found["centres"].tolist() == [1, 2, 0, 0]
    assert found["centres error"].tolist() == [0, 1, 1, 0]
    sizes = [np.log(np.sqrt(mask.sum()) / 16) for mask in masks[:3]]
    assert found["size"][:3] == pytest.approx(sizes)
    assert found["size error"][:3] == pytest.approx(-np.abs(sizes))


def test_the_size_of_a_mask_between_cells_is_that_of_the_nearest():
    small = np.zeros((60, 100), dtype=bool)
    small[28:29, 28:29] = True
    assert features(candidates([small]), seen(8.0))[0, 3] == pytest.approx(-2)  # ln 1/8, limited


@pytest.fixture(scope="module")
def nanocrystals():
    image, truth, _ = sample_data.load("nanocrystals")
    bank = ProposalBank(prepare(image), load("pocket", "cpu"))
    run(bank.prepare(CENTRES))
    return bank, truth


def test_probabilities_tell_objects_from_other_masks_better_than_the_predicted_iou(nanocrystals):
    bank, truth = nanocrystals
    (table,) = bank.tables(CENTRES)
    is_object = np.array([_best_iou(mask, truth) >= 0.5 for mask in table.candidates.masks])
    p, q = probability_of(table).numpy(), table.candidates.predicted_iou.numpy()
    assert _auc(p, is_object) > _auc(q, is_object) + 0.01
    assert _auc(p, is_object) > 0.85
    # Not only ordered: among those above one half, more than half are objects, and the reverse.
    assert is_object[p > 0.5].mean() > 0.5 > is_object[p < 0.5].mean()


def test_the_filter_keeps_what_is_likely_and_zero_keeps_all(nanocrystals):
    bank, _ = nanocrystals
    loose = CENTRES.replace(pred_iou_thresh=0.5, stability_score_thresh=0.5)
    every, likely = select(bank, loose), select(bank, loose.replace(min_probability=0.6))
    assert 0 < len(likely) < len(every)
    assert likely.probability.min() >= 0.6 > every.probability.min()


def test_without_maps_the_probability_follows_from_the_predicted_iou():
    image, _, _ = sample_data.load("nanocrystals")
    config = AmgConfig(points_per_side=4, pred_iou_thresh=0.0, stability_score_thresh=0.0)
    bank = ProposalBank(prepare(image[:96, :96]), tiny_model())
    run(bank.prepare(config))
    kept = select(bank, config)
    assert len(kept)
    expected = np.clip(kept.predicted_iou, 0, 1) ** likelihood.PROBABILITY_POWER
    np.testing.assert_allclose(kept.probability, expected, rtol=1e-5)


def test_the_tile_store_keeps_probabilities(nanocrystals):
    bank, _ = nanocrystals
    (table,) = bank.tables(CENTRES)
    again = unpack(pack(table.candidates), table.part, torch.device("cpu"))
    assert torch.equal(again.probability, table.candidates.probability)
    without = dataclasses.replace(table.candidates, probability=None)
    assert unpack(pack(without), table.part, torch.device("cpu")).probability is None


def test_upstream_has_no_probabilities():
    with pytest.raises(UserError, match="use min_probability=0"):
        AmgConfig(min_probability=0.5).generator_kwargs()


def _best_iou(mask, truth):
    r0, c0, r1, c1 = mask.box
    inside = truth[r0:r1, c0:c1][mask.window]
    ids, counts = np.unique(inside[inside > 0], return_counts=True)
    areas = np.array([(truth == i).sum() for i in ids])
    return float((counts / (areas + mask.area - counts)).max(initial=0))


def _auc(score, y):
    above = score[y][:, None] > score[~y][None]
    return float((above + 0.5 * (score[y][:, None] == score[~y][None])).mean())
