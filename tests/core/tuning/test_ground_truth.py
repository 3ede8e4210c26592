from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.bank import discs
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import select
from napari_samstar.core.masks.labels import paint
from napari_samstar.core.masks.metrics import score
from napari_samstar.core.progress import run
from napari_samstar.core.tuning.config import Trial
from napari_samstar.core.tuning.ground_truth import TruthScorer, agreements
from tests.core.tiny import tiny_model

BASE = AmgConfig(points_per_side=5, pred_iou_thresh=0.5, stability_score_thresh=0.6)
STRICT, LOOSE = BASE.replace(box_nms_thresh=0.3), BASE.replace(box_nms_thresh=0.9)


@pytest.fixture(scope="module")
def banks():
    model = tiny_model()
    made = [ProposalBank(discs(shape), model) for shape in ((96, 128), (64, 64))]
    for bank in made:
        run(bank.prepare(BASE))
    return made


def labels(bank, config):
    return paint(bank.masks, select(bank, config).ids)


def trial(config, total):
    return Trial(config, {"coverage": total}, 1, 0, "search")


def finished(work):
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def test_it_is_the_mean_over_images(banks):
    truths = [labels(bank, STRICT) for bank in banks]
    found = TruthScorer(banks, truths).score(LOOSE)
    alone = [score(t, labels(b, LOOSE)) for b, t in zip(banks, truths, strict=True)]
    assert found.images == tuple(alone)
    assert found.f1 == pytest.approx(np.mean([s.f1 for s in alone]))
    assert found.mean_ap == pytest.approx(np.mean([s.mean_ap for s in alone]))
    assert json.loads(json.dumps(found.to_dict()))["f1"] == found.f1
    assert TruthScorer(banks, truths).score(STRICT).f1 == 1


def test_the_oracle_is_the_best_of_what_was_tried(banks):
    scorer = TruthScorer(banks[:1], [labels(banks[0], STRICT)])
    nothing = BASE.replace(pred_iou_thresh=1.0)
    tried = [trial(c, t) for c, t in ((nothing, 0.9), (STRICT, 0.1), (LOOSE, 0.5))]
    found = finished(agreements(scorer, {"chosen": nothing}, tried))
    assert list(found) == ["chosen", "oracle"]
    assert found["chosen"].f1 == 0
    assert found["oracle"].f1 == 1
    assert finished(agreements(scorer, {"chosen": LOOSE}, [])).keys() == {"chosen"}


def test_impossible_settings_find_nothing(banks):
    scorer = TruthScorer(banks[:1], [labels(banks[0], STRICT)])
    impossible = BASE.replace(crop_n_layers=2, crop_n_points_downscale_factor=4)
    assert scorer.score(impossible).f1 == 0


def test_the_same_masks_are_scored_once(banks):
    scorer = TruthScorer(banks, [labels(bank, STRICT) for bank in banks])
    scorer.score(BASE)
    known = len(scorer._known)
    scorer.score(BASE.replace(pred_iou_thresh=0.5 + 1e-9))
    assert len(scorer._known) == known == 2


def test_another_shape_is_an_error(banks):
    with pytest.raises(ValueError, match="differ in shape"):
        TruthScorer(banks[:1], [np.zeros((5, 5), int)]).score(BASE)
