"""records(bank, select(bank, config)) is what SamAutomaticMaskGenerator generates, to the bit."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import torch

from benchmarks.bank import compare, differences, discs, upstream
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import records, select
from napari_samstar.core.models.sam_backend import SamBackend
from napari_samstar.core.progress import run
from tests.core.tiny import tiny_model

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import LoadedModel

LANDSCAPE, PORTRAIT, ODD, LARGE = (96, 128), (128, 90), (61, 83), (290, 270)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # many small steps: threads that wait for a core cost ten times more
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def bank() -> ProposalBank:
    return ProposalBank(discs(LANDSCAPE), tiny_model())


def agreed(bank: ProposalBank, config: AmgConfig) -> int:
    """Compare one configuration and return how many records it has."""
    run(bank.prepare(config))
    ours = records(bank, select(bank, config))
    assert differences(ours, upstream(bank.model, bank.image, config)) == []
    return len(ours)


@pytest.mark.slow
def test_random_configurations_equal_upstream():
    banks = [
        ProposalBank(discs(shape, k), tiny_model())
        for k, shape in enumerate([LANDSCAPE, PORTRAIT, ODD, LARGE])
    ]
    tally = compare(banks, 25, seed=0)
    assert tally.mismatches == []
    assert tally.crops >= 8
    assert tally.regions >= 8
    assert statistics.median(tally.counts) >= 10


def test_defaults_with_a_coarse_grid(bank):
    assert agreed(bank, AmgConfig(points_per_side=6, stability_score_thresh=0.7)) > 5


def test_every_filter_off_keeps_duplicates_of_the_decoder(bank):
    off = AmgConfig(
        points_per_side=6, pred_iou_thresh=0.0, stability_score_thresh=0.0, box_nms_thresh=1.0
    )
    assert agreed(bank, off) == 3 * 36


@pytest.mark.parametrize("mode", ["binary_mask", "uncompressed_rle", "coco_rle"])
def test_output_modes(bank, mode):
    if mode == "coco_rle":
        pytest.importorskip("pycocotools")
    config = AmgConfig(
        points_per_side=5, pred_iou_thresh=0.6, stability_score_thresh=0.6, output_mode=mode
    )
    assert agreed(bank, config) > 3


def test_nothing_kept_at_all(bank):
    assert agreed(bank, AmgConfig(points_per_side=4, pred_iou_thresh=1.0)) == 0


def test_nothing_kept_in_any_crop_where_upstream_crashes(bank):
    config = AmgConfig(points_per_side=4, pred_iou_thresh=1.0, crop_n_layers=1)
    assert agreed(bank, config) == 0


def test_an_empty_batch_turns_boxes_into_floats_as_upstream(bank):
    run(bank.prepare(AmgConfig(points_per_side=6, points_per_batch=4)))
    c = bank.tables(AmgConfig(points_per_side=6, points_per_batch=4))[0].candidates
    best = torch.stack([c.predicted_iou[c.batch == b].max() for b in range(c.n_batches)])
    between = float(best.sort().values[1:3].mean())  # two batches keep nothing
    config = AmgConfig(
        points_per_side=6, points_per_batch=4, pred_iou_thresh=between, stability_score_thresh=0.0
    )
    assert agreed(bank, config) > 0
    assert select(bank, config).boxes.dtype == "float32"


def test_an_empty_crop_turns_crop_boxes_into_floats_as_upstream(bank):
    loose = AmgConfig(points_per_side=4, crop_n_layers=1, stability_score_thresh=0.0)
    run(bank.prepare(loose))
    best = sorted(float(t.candidates.predicted_iou.max()) for t in bank.tables(loose))
    config = loose.replace(pred_iou_thresh=(best[0] + best[1]) / 2)
    assert agreed(bank, config) > 0
    assert select(bank, config).crop_boxes.dtype == "float32"


def high_cut_model(cut: float) -> LoadedModel:
    """Return the tiny model with another cut-off, at which some masks have no pixel."""
    import copy

    model = tiny_model()
    sam = copy.deepcopy(model.sam)
    sam.mask_threshold = cut
    return dataclasses.replace(model, backend=SamBackend(sam))


@pytest.mark.parametrize("min_area", [0, 30, 20_000])
def test_masks_without_a_pixel(min_area):
    bank = ProposalBank(discs(LANDSCAPE), high_cut_model(30.0))
    config = AmgConfig(
        points_per_side=5,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        box_nms_thresh=1.0,
        min_mask_region_area=min_area,
    )
    agreed(bank, config)
    areas = bank.masks.areas(bank.tables(config)[0].ids.tolist())
    assert 0 < (areas == 0).sum() < len(areas)


@pytest.mark.parametrize("offset", [0.05, 0.35, 1.0, 2.0])
def test_offsets_of_the_stability_test(bank, offset):
    config = AmgConfig(
        points_per_side=5,
        pred_iou_thresh=0.3,
        stability_score_thresh=0.85,
        stability_score_offset=offset,
    )
    agreed(bank, config)


def test_decoding_in_another_order_changes_nothing():
    first, second = (ProposalBank(discs(ODD), tiny_model()) for _ in range(2))
    plain = AmgConfig(points_per_side=4, pred_iou_thresh=0.5, stability_score_thresh=0.5)
    crops = plain.replace(crop_n_layers=1)
    for config in (plain, crops):
        run(first.prepare(config))
    for config in (crops, plain):
        run(second.prepare(config))
    for config in (plain, crops):
        ours, theirs = (records(b, select(b, config)) for b in (first, second))
        assert differences(ours, theirs) == []
        assert ours


def test_differences_sees_bits_types_and_order(bank):
    config = AmgConfig(points_per_side=5, pred_iou_thresh=0.5, stability_score_thresh=0.5)
    run(bank.prepare(config))
    truth = records(bank, select(bank, config))
    assert differences(truth, truth[::-1])
    assert differences(truth, truth[:-1])
    flipped = [dict(r) for r in truth]
    flipped[0]["segmentation"] = ~flipped[0]["segmentation"]
    assert differences(truth, flipped) == ["record 0: segmentation"]
    floats = [dict(r) for r in truth]
    floats[1]["bbox"] = [float(v) for v in floats[1]["bbox"]]
    assert differences(truth, floats) == ["record 1: bbox"]
