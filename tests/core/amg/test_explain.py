"""What is said about a candidate is what `select` did with it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.bank import discs
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.explain import explain, holds, rejections_of, remedy
from napari_samstar.core.amg.rejection import Rejection
from napari_samstar.core.amg.select import select
from napari_samstar.core.progress import run
from tests.core.tiny import tiny_model

BASE = AmgConfig(points_per_side=6, pred_iou_thresh=0.75, stability_score_thresh=0.8)


@pytest.fixture(scope="module")
def bank() -> ProposalBank:
    made = ProposalBank(discs((96, 128)), tiny_model())
    for layers in (0, 1):
        run(made.prepare(BASE.replace(crop_n_layers=layers)))
    return made


def random_configs(n: int) -> list[AmgConfig]:
    rng = np.random.default_rng(3)
    return [
        BASE.replace(
            pred_iou_thresh=round(rng.uniform(0.4, 0.9), 3),
            stability_score_thresh=round(rng.uniform(0.3, 0.95), 3),
            box_nms_thresh=round(rng.uniform(0.2, 0.9), 3),
            crop_nms_thresh=round(rng.uniform(0.2, 0.9), 3),
            crop_n_layers=int(rng.integers(2)),
            min_mask_region_area=int(rng.choice([0, 0, 15, 60])),
        )
        for _ in range(n)
    ]


@pytest.mark.parametrize("config", random_configs(12))
def test_kept_means_in_the_selection(bank: ProposalBank, config: AmgConfig) -> None:
    selection = select(bank, config)
    kept = set(selection.candidates.tolist())
    shown = dict(zip(selection.candidates.tolist(), selection.ids.tolist(), strict=True))
    for spot in ((20, 30), (48, 64), (80, 100), (0, 0)):
        found = explain(bank, config, spot, most=10_000)
        assert {f.mask_id for f in found if f.kept} == {
            c for c in kept if holds(bank.masks[c], spot) or holds(bank.masks[shown[c]], spot)
        }
        everyone = {int(i) for table in bank.tables(config) for i in table.ids}
        there = {i for i in everyone if bank.masks.dense(i)[spot]}
        assert sum(1 + f.alike for f in found) >= len(there)
        for f in found:
            assert f.kept == (f.mask_id in kept)
            assert f.rejections or f.kept


def test_an_object_of_another_shape_is_explained_and_mended(bank: ProposalBank) -> None:
    loose = BASE.replace(pred_iou_thresh=0.0, stability_score_thresh=0.0)
    first, *others = select(bank, loose).ids.tolist()
    (like,) = bank.shapes.descriptors(np.array([first])).tolist()
    strict = loose.replace(examples=(tuple(like),), min_likeness=0.95)
    left_out = [i for i in others if i not in select(bank, strict).ids]
    assert left_out
    for mask_id in left_out:
        (rejection,) = rejections_of(bank, strict, mask_id)
        assert rejection.cause == "likeness"
        assert rejection.value < 0.95 == rejection.limit
        assert "like the examples by" in rejection.sentence
        mended = remedy(bank, strict, mask_id)
        assert mended is not None
        assert mask_id in select(bank, mended.config).candidates
        assert mended.changes["min_likeness"][0] == 0.95


@pytest.mark.parametrize("config", random_configs(6))
def test_a_remedy_was_tried(bank: ProposalBank, config: AmgConfig) -> None:
    offered = 0
    for finding in explain(bank, config, (48, 64), most=6):
        if finding.kept:
            continue
        found = remedy(bank, config, finding.mask_id)
        if found is None:
            assert "edge" in {f.cause for f in finding.rejections}
            continue
        offered += 1
        selection = select(bank, found.config)
        assert finding.mask_id in selection.candidates
        assert (found.before, found.after) == (len(select(bank, config)), len(selection))
        assert set(found.changes) <= {
            "pred_iou_thresh", "stability_score_thresh", "box_nms_thresh", "crop_nms_thresh",
            "min_mask_region_area",
        }  # fmt: skip
        for name, (before, after) in found.changes.items():
            assert getattr(config, name) == before != after == getattr(found.config, name)
            label = {"pred_iou_thresh": "Predicted quality"}.get(name, "")
            assert label in found.sentence
    assert offered


def test_the_least_change_is_offered(bank: ProposalBank) -> None:
    """One step of the slider less would not do, where one filter alone was at fault."""
    checked = 0
    for row, col in ((20, 30), (48, 64), (60, 90), (30, 100)):
        for finding in explain(bank, BASE, (row, col)):
            if [f.cause for f in finding.rejections] not in (["quality"], ["stability"]):
                continue
            found = remedy(bank, BASE, finding.mask_id)
            if found is None or len(found.changes) > 1:
                continue
            ((name, (_, after)),) = found.changes.items()
            tighter = BASE.replace(**{name: round(after + 0.01, 2)})
            assert finding.mask_id not in select(bank, tighter).candidates
            checked += 1
    assert checked


def test_each_stage_is_named(bank: ProposalBank) -> None:
    causes = {
        rejection.cause
        for config in random_configs(12)
        for table in bank.tables(config)
        for i in table.ids[::5].tolist()
        for rejection in rejections_of(bank, config, i)
    }
    assert causes >= {"quality", "stability", "edge", "duplicate", "crop duplicate"}


def test_the_winner_of_a_duplicate_is_kept_by_its_crop_and_overlaps(bank: ProposalBank) -> None:
    config = BASE.replace(pred_iou_thresh=0.5, stability_score_thresh=0.4, box_nms_thresh=0.3)
    kept = set(select(bank, config).candidates.tolist())
    seen = 0
    for spot in ((20, 30), (48, 64), (80, 100)):
        for finding in explain(bank, config, spot):
            for rejection in finding.rejections:
                if rejection.cause == "duplicate":
                    assert rejection.winner in kept
                    assert rejection.value > rejection.limit
                    seen += 1
    assert seen


def test_a_removed_speck_is_not_reported_as_a_missing_object(bank: ProposalBank) -> None:
    config = BASE.replace(pred_iou_thresh=0.3, stability_score_thresh=0.0, min_mask_region_area=60)
    selection = select(bank, config)
    for candidate, shown in zip(selection.candidates, selection.ids, strict=True):
        lost = bank.masks.dense(int(candidate)) & ~bank.masks.dense(int(shown))
        if lost.any():
            row, col = np.argwhere(lost)[0].tolist()
            break
    else:
        pytest.fail("no mask lost a speck: choose another configuration")
    (finding,) = (f for f in explain(bank, config, (row, col), most=999) if f.mask_id == candidate)
    assert finding.kept
    assert [f.cause for f in finding.rejections] == ["speck"]
    found = remedy(bank, config, int(candidate), (row, col))
    assert found is not None
    again = select(bank, found.config)
    at = int(np.flatnonzero(again.candidates == candidate)[0])
    assert holds(bank.masks[int(again.ids[at])], (row, col))


def test_a_near_miss_is_shown_with_enough_digits() -> None:
    assert Rejection("quality", 0.96996, 0.97).numbers == ("0.96996", "0.97", "0.00004")
    assert Rejection("stability", 0.8234, 0.88).numbers == ("0.823", "0.88", "0.057")


def test_the_sentence_has_both_numbers_and_the_setting() -> None:
    text = Rejection("quality", 0.8234, 0.88).sentence
    assert "0.823" in text
    assert "0.88" in text
    assert "Predicted quality" in text
