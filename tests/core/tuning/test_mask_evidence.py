from __future__ import annotations

import numpy as np
import pytest

from benchmarks.bank import discs
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import passes, select
from napari_samstar.core.progress import run
from napari_samstar.core.tuning.evaluator import Evaluator
from napari_samstar.core.tuning.mask_evidence import mask_evidence
from tests.core.tiny import tiny_model

BASE = AmgConfig(points_per_side=8, pred_iou_thresh=0.3, stability_score_thresh=0.3)


@pytest.fixture(scope="module")
def evaluators():
    made = [
        Evaluator.of(ProposalBank(discs(shape), tiny_model())) for shape in ((96, 128), (96, 96))
    ]
    for each in made:
        run(each.bank.prepare(BASE))
    return made


def alone(bank, config, cause):
    """Count the slow way, candidate by candidate."""
    n = 0
    for table in bank.tables(config):
        passed = passes(bank, table, config)
        n += sum([c for c in passed if not passed[c][k]] == [cause] for k in range(len(table.ids)))
    return n


def test_areas_are_those_of_the_selection(evaluators):
    bank, cues = evaluators[0].bank, evaluators[0].features.cues
    found = mask_evidence(evaluators[:1], BASE)
    chosen = select(bank, BASE)
    masks = np.any([bank.masks.dense(i) for i in chosen.ids.tolist()], axis=0)
    assert found.kept == len(chosen) > 3
    assert found.covered == pytest.approx((masks & cues.foreground).sum() / cues.foreground.sum())
    assert found.inside == pytest.approx((masks & cues.foreground).sum() / masks.sum())
    assert found.candidates == 3 * 64
    assert found.polarity == cues.polarity
    assert found.images == 1


@pytest.mark.parametrize(
    ("setting", "cause", "value"),
    [("pred_iou_thresh", "quality", 0.8), ("stability_score_thresh", "stability", 0.9)],
)
def test_the_filter_that_alone_rejects_the_most(evaluators, setting, cause, value):
    config = BASE.replace(**{setting: value})
    bank = evaluators[0].bank
    found = mask_evidence(evaluators[:1], config).strictest
    assert (found.setting, found.value) == (setting, value)
    assert found.alone == alone(bank, config, cause) > 0
    assert found.looser == pytest.approx(value - 0.1)
    looser = config.replace(**{setting: found.looser})
    assert found.more == len(select(bank, looser)) - len(select(bank, config))


def test_overlap_is_at_fault_where_it_removes_more_than_copies(evaluators):
    config = BASE.replace(pred_iou_thresh=0.0, stability_score_thresh=0.0, box_nms_thresh=0.1)
    bank = evaluators[0].bank
    found = mask_evidence(evaluators[:1], config).strictest
    more = len(select(bank, config.replace(box_nms_thresh=0.7))) - len(select(bank, config))
    assert (found.setting, found.value, found.looser) == ("box_nms_thresh", 0.1, 0.7)
    assert found.alone == found.more == more > 0
    copies = mask_evidence(evaluators[:1], config.replace(box_nms_thresh=0.7)).strictest
    assert copies.alone == 0


def test_several_images_count_together(evaluators):
    both = mask_evidence(evaluators, BASE)
    each = [mask_evidence([e], BASE) for e in evaluators]
    assert both.images == 2
    assert both.kept == sum(e.kept for e in each)
    assert both.candidates == sum(e.candidates for e in each)
    assert min(e.inside for e in each) <= both.inside <= max(e.inside for e in each)


def test_nothing_is_measured_without_candidates_and_nothing_added_to_the_bank(evaluators):
    assert mask_evidence(evaluators, BASE.replace(points_per_side=9)) is None
    impossible = AmgConfig(points_per_side=4, crop_n_layers=2, crop_n_points_downscale_factor=4)
    assert mask_evidence(evaluators, impossible) is None
    bank = evaluators[0].bank
    before = bank.nbytes
    mask_evidence(evaluators, BASE.replace(min_mask_region_area=100))
    assert bank.nbytes == before


def test_a_configuration_that_keeps_nothing_covers_nothing(evaluators):
    found = mask_evidence(evaluators, BASE.replace(pred_iou_thresh=1.0))
    assert (found.kept, found.covered) == (0, 0.0)
    assert np.isnan(found.inside)
