from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest

from benchmarks.bank import discs
from napari_samstar.api.pipeline import Applied, check_labels_fit, iter_apply, iter_segment
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.models.registry import ModelChoice
from napari_samstar.core.progress import run
from napari_samstar.core.results.result import segment_bank
from tests.core.tiny import tiny_model

CONFIG = AmgConfig(points_per_side=4, pred_iou_thresh=0.3, stability_score_thresh=0.3)
CHOICE = ModelChoice("tiny", "cpu")
IMAGE = LoadedImage(discs((64, 80)).rgb[..., 0], rgb=False)


@pytest.fixture
def previous():
    bank = ProposalBank(IMAGE.prepare(), tiny_model(), EmbeddingCache())
    return run(segment_bank(bank, CONFIG, choice=CHOICE))


def segmented(image, previous):
    return run(iter_segment(image, CHOICE, CONFIG, EmbeddingCache(), previous))


def test_the_bank_of_the_same_image_and_model_is_used_again(previous):
    again = segmented(IMAGE, previous)
    assert again.bank is previous.bank
    assert (again.labels == previous.labels).all()


def test_another_pixel_size_makes_another_bank(previous):
    again = segmented(IMAGE.replace(pixel_size=(0.5, 0.5), unit="nm"), previous)
    assert again.bank is not previous.bank
    assert again.image.pixel_size == (0.5, 0.5)
    assert (again.labels == previous.labels).all()


def test_the_recipe_says_how_the_image_was_read(previous):
    inverted = IMAGE.replace(mapping=ImageMapping(invert=True))
    result = run(iter_segment(inverted, tiny_model(), CONFIG, EmbeddingCache()))
    assert result.recipe.mapping == ImageMapping(invert=True)
    assert previous.recipe.mapping == ImageMapping()


def test_a_configuration_is_applied_to_planes_and_a_constant_one_says_why_not():
    import numpy as np

    plane = IMAGE.array
    stack = LoadedImage(np.stack([plane, np.full_like(plane, 7), plane[::-1]]), rgb=False)
    steps = iter_apply(CONFIG, [stack.at((k,)) for k in range(3)], tiny_model(), EmbeddingCache())
    applied: list[Applied] = []
    run(steps, lambda step: applied.append(step) if isinstance(step, Applied) else None)
    assert [a.image.mapping.plane for a in applied] == [(0,), (1,), (2,)]
    assert [bool(a.problem) for a in applied] == [False, True, False]
    assert "constant" in applied[1].problem
    assert applied[1].labels.shape == plane.shape
    assert not applied[1].labels.any()
    assert applied[0].labels.max() > 0


def test_labels_of_a_stack_that_do_not_fit_in_memory_are_refused(monkeypatch):
    free = SimpleNamespace(available=10 * 4 * 100 * 100 / 0.8)  # ten planes just fit
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    check_labels_fit(10, (100, 100))
    with pytest.raises(UserError, match=r"labels of all 11 planes .* crop the stack"):
        check_labels_fit(11, (100, 100))
