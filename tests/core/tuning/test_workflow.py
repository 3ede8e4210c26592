from __future__ import annotations

import dataclasses

import pytest

from benchmarks.bank import discs
from napari_samstar.core.amg.bank import ProposalBank, run
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import select
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.source import ModelChoice, Source
from napari_samstar.core.masks.labels import paint
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.tuning.workflow import Segmented, segment
from tests.core.tiny import tiny_model

CONFIG = AmgConfig(points_per_side=4, pred_iou_thresh=0.3, stability_score_thresh=0.3)
CHOICE = ModelChoice("tiny", "cpu")
SOURCE = Source(discs((64, 80)).rgb[..., 0], ImageMapping(), rgb=False)


@pytest.fixture
def before():
    image, model = SOURCE.read(), tiny_model()
    bank = ProposalBank(image, model, EmbeddingCache())
    run(bank.prepare(CONFIG))
    selection = select(bank, CONFIG)
    labels = paint(bank.masks, selection.ids)
    return Segmented(image, ImageMapping(), CHOICE, model, bank, selection, labels)


def segmented(source, before):
    steps = segment(source, CHOICE, CONFIG, EmbeddingCache(), before)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def test_what_was_asked_is_not_asked_again(before):
    again = segmented(SOURCE, before)
    assert again.bank is before.bank
    assert (again.labels == before.labels).all()


def test_another_pixel_size_is_another_image(before):
    sized = dataclasses.replace(SOURCE, pixel_size=(0.5, 0.5), unit="nm")
    again = segmented(sized, before)
    assert again.bank is not before.bank
    assert again.bank.image.pixel_size == (0.5, 0.5)
    assert (again.labels == before.labels).all()
