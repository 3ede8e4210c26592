from __future__ import annotations

import collections
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from benchmarks.bank import discs
from napari_samstar.core.amg.bank import PendingWork, ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import select
from napari_samstar.core.errors import UserError
from napari_samstar.core.models.sam_backend import SamBackend
from napari_samstar.core.progress import Progress, run
from napari_samstar.core.prompts.base import ImpossibleConfig
from tests.core.tiny import tiny_model

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import LoadedModel

IMAGE = discs((48, 64))
COARSE = AmgConfig(points_per_side=4, points_per_batch=8)


def new_bank(model=None):
    return ProposalBank(IMAGE, model or tiny_model())


def test_selecting_before_preparing_is_an_error():
    with pytest.raises(KeyError):
        select(new_bank(), COARSE)


def test_progress_counts_prompts():
    steps = list(new_bank().prepare(COARSE))
    assert all(isinstance(s, Progress) for s in steps)
    assert [(s.done, s.total) for s in steps] == [(0, 16), (8, 16), (16, 16)]


def test_stopped_half_way_the_bank_is_as_before():
    bank = new_bank()
    run(bank.prepare(COARSE))
    before = (len(bank.masks), bank.nbytes)
    finer = COARSE.replace(points_per_side=6)
    work = bank.prepare(finer)
    next(work)
    next(work)
    work.close()
    assert (len(bank.masks), bank.nbytes) == before
    assert bank.missing([finer]) == PendingWork(crops=0, prompts=36)
    run(bank.prepare(finer))
    assert not bank.missing([finer])
    fresh = new_bank()
    run(fresh.prepare(finer))
    assert select(bank, finer).boxes.tolist() == select(fresh, finer).boxes.tolist()


def test_nothing_is_decoded_twice():
    bank = new_bank()
    run(bank.prepare(COARSE))
    loose = COARSE.replace(pred_iou_thresh=0.1, min_mask_region_area=20, box_nms_thresh=0.2)
    assert list(bank.prepare(loose)) == []
    crops = COARSE.replace(crop_n_layers=1)
    assert bank.missing([COARSE, loose, crops]) == PendingWork(crops=4, prompts=64)


def test_expected_seconds_come_from_the_banks_own_pace():
    bank = new_bank()
    assert bank.seconds(PendingWork(1, 1)) is None
    run(bank.prepare(COARSE))
    assert bank.seconds(PendingWork(0, 0)) == 0
    assert 0 < bank.seconds(PendingWork(0, 16)) < bank.seconds(PendingWork(1, 16)) < 60


def test_what_does_not_fit_in_memory_is_said_before_the_work(monkeypatch):
    memory = collections.namedtuple("memory", "available")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(1000))
    with pytest.raises(UserError, match="lower 'Points per side' or 'Zoom levels'"):
        next(new_bank().prepare(COARSE))


def test_no_prompt_left_in_a_crop_is_impossible():
    config = AmgConfig(points_per_side=4, crop_n_layers=2, crop_n_points_downscale_factor=4)
    with pytest.raises(ImpossibleConfig, match="raise 'Points per side'"):
        new_bank().parts(config)


def test_point_grids_need_points_for_every_level():
    one = AmgConfig(points_per_side=None, point_grids=(((0.5, 0.5),),))
    run(new_bank().prepare(one))
    with pytest.raises(UserError, match="one grid for each zoom level"):
        new_bank().parts(one.replace(crop_n_layers=1))
    with pytest.raises(ImpossibleConfig, match="empty grid"):
        new_bank().parts(one.replace(point_grids=((),)))


class SmallMemory(nn.Module):
    """A decoder that runs out of memory above a number of prompts."""

    def __init__(self, decoder: nn.Module, most: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.most = most
        self.sizes: list[int] = []

    def forward(self, **inputs):
        n = len(inputs["sparse_prompt_embeddings"])
        self.sizes.append(n)
        if n > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return self.decoder(**inputs)


def with_memory_for(most: int) -> tuple[LoadedModel, SmallMemory]:
    model = tiny_model(seed=7)
    import copy
    import dataclasses

    sam = copy.deepcopy(model.sam)
    sam.mask_decoder = SmallMemory(sam.mask_decoder, most)
    return dataclasses.replace(model, backend=SamBackend(sam)), sam.mask_decoder


def test_batches_are_halved_until_they_fit():
    model, decoder = with_memory_for(16)
    config = AmgConfig(points_per_side=7, pred_iou_thresh=0.3, stability_score_thresh=0.5)
    small, large = new_bank(model), new_bank(tiny_model(seed=7))
    run(small.prepare(config))
    run(large.prepare(config))
    assert decoder.sizes == [49, 24, 12, 12, 25, 12, 13]
    ours, theirs = (b.tables(config)[0].candidates for b in (small, large))
    assert torch.allclose(ours.predicted_iou, theirs.predicted_iou, atol=1e-5)
    assert torch.equal(ours.points, theirs.points)
    assert np.allclose(
        small.masks.areas(range(147)), large.masks.areas(range(147)), rtol=0.01, atol=3
    )


def test_not_even_one_prompt_fits():
    model, _ = with_memory_for(0)
    with pytest.raises(UserError, match="choose a smaller model"):
        run(new_bank(model).prepare(COARSE))


def test_shapes_are_measured_beforehand_where_there_are_examples():
    bank = new_bank()
    run(bank.prepare(COARSE))
    everyone = bank.tables(COARSE)[0].ids
    asked = COARSE.like(((3.0, 0.0, 1.0, 1.0),))
    assert bank.missing([asked]) == PendingWork(crops=0, prompts=0, shapes=len(everyone))
    steps = list(bank.prepare(asked))
    assert steps
    assert {step.total for step in steps} == {len(everyone)}
    assert not bank.missing([asked])
    assert list(bank.prepare(asked)) == []


def test_only_masks_like_the_examples_are_kept():
    bank = new_bank()
    base = COARSE.replace(pred_iou_thresh=0.0, stability_score_thresh=0.0)
    run(bank.prepare(base))
    every = select(bank, base)
    model = bank.shapes.descriptors(every.ids[:1])
    asked = base.like(tuple(tuple(row) for row in model.tolist()))
    assert select(bank, asked).ids.tolist() == every.ids.tolist(), "0 keeps every shape"
    strict = asked.replace(min_likeness=0.9)
    kept = select(bank, strict)
    likeness = bank.shapes.likeness(kept.ids, asked.examples)
    assert len(kept)
    assert (likeness >= 0.9).all()
    (table,) = bank.tables(base)
    passing = set(table.ids[bank.likeness(table, asked.examples) >= 0.9].tolist())
    assert set(kept.ids.tolist()) <= passing
    assert passing < set(table.ids.tolist())
