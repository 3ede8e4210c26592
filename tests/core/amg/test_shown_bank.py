"""What SAM is shown is part of what a bank decodes; all else sees the original pixels."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.bank import discs
from napari_samstar.core.amg.bank import PendingWork, ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.explain import explain
from napari_samstar.core.amg.select import select
from napari_samstar.core.amg.summary import summary
from napari_samstar.core.amg.tile_store import TileStore, decode_parts
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.image.shown import inverted, shown_crop
from napari_samstar.core.image.versions import VERSIONS
from napari_samstar.core.models.encoder import EmbeddingCache, embedding_key
from napari_samstar.core.progress import run
from napari_samstar.core.tuning.evaluator import Evaluator
from tests.core.tiny import tiny_model

IMAGE = discs((96, 128))
CONFIG = AmgConfig(points_per_side=5, pred_iou_thresh=0.4, stability_score_thresh=0.4)
INVERTED = CONFIG.replace(shown="inverted")
TILED = CONFIG.replace(tile_scale=4.0)


def prepared(image, *configs, **how):
    bank = ProposalBank(image, tiny_model(), **how)
    for config in configs:
        run(bank.prepare(config))
    return bank


def same(one, other):
    for name in ("boxes", "predicted_iou", "points", "crop_boxes"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("config", [CONFIG, CONFIG.replace(crop_n_layers=1), TILED])
def test_shown_inverted_is_the_inverted_image(config):
    bank = prepared(IMAGE, config.replace(shown="inverted"))
    other = prepared(Micrograph(inverted(IMAGE.pixels)), config)
    same(select(bank, config.replace(shown="inverted")), select(other, config))


@pytest.mark.parametrize("name", [n for n in VERSIONS if n != "main_colour"])
def test_tiles_see_parts_of_one_picture(name):
    config = TILED.replace(shown=name)
    picture = shown_crop(IMAGE, (0, 0, IMAGE.shape[1], IMAGE.shape[0]), name)
    bank = prepared(IMAGE, config)
    assert len(bank.parts(config)) > 1
    same(select(bank, config), select(prepared(Micrograph(picture), TILED), TILED))


def test_versions_are_different_parts_that_leave_each_other_alone():
    alone = select(prepared(IMAGE, CONFIG), CONFIG)
    bank = prepared(IMAGE, INVERTED)
    assert bank.missing([CONFIG, INVERTED]) == PendingWork(crops=1, prompts=25)
    assert not bank.has_some(CONFIG)
    run(bank.prepare(CONFIG))
    same(select(bank, CONFIG), alone)
    first, second = (bank.tables(c)[0] for c in (CONFIG, INVERTED))
    assert first.part.crop_box == second.part.crop_box
    assert not np.array_equal(first.candidates.predicted_iou, second.candidates.predicted_iou)


def test_embeddings_are_kept_apart():
    cache, model = EmbeddingCache(), tiny_model()
    prepared(IMAGE, CONFIG, INVERTED, cache=cache)
    box = (0, 0, 128, 96)
    keys = {embedding_key(model, shown_crop(IMAGE, box, name)) for name in ("original", "inverted")}
    assert len(keys) == 2
    # What a click in Correct encodes is the original.
    known = cache.get(model, IMAGE.crop(box))
    assert known is not None
    expected = EmbeddingCache().encode(model, IMAGE.crop(box))
    np.testing.assert_array_equal(known.features, expected.features)


def test_cues_and_rewards_see_the_original():
    bank = prepared(IMAGE, CONFIG, INVERTED)
    found, alone = Evaluator.of(bank), Evaluator.of(prepared(IMAGE, CONFIG))
    assert found.features.cues.polarity == alone.features.cues.polarity
    np.testing.assert_array_equal(found.features.cues.foreground, alone.features.cues.foreground)
    *_, (rewards, n_masks) = found.evaluate(INVERTED)
    assert n_masks == len(select(bank, INVERTED))
    assert rewards == found.rewards(select(bank, INVERTED))


def test_why_explains_what_was_shown():
    bank = prepared(IMAGE, CONFIG, INVERTED)
    ids = {int(i) for i in bank.tables(INVERTED)[0].ids}
    found = explain(bank, INVERTED, (48, 64), most=1000)
    assert found
    assert {finding.mask_id for finding in found} <= ids


def test_finished_tiles_are_kept_for_each_version(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path))
    config = TILED.replace(shown="local_contrast")
    stores = [TileStore.of(IMAGE, c, tiny_model()) for c in (TILED, config)]
    assert stores[0].folder != stores[1].folder
    expected = select(prepared(IMAGE, config), config)
    for _ in range(2):  # decoded, then read
        bank = ProposalBank(IMAGE, tiny_model())
        run(bank.prepare(config, decode=decode_parts(bank, config, stores[1])))
        same(select(bank, config), expected)


def test_the_main_colour_of_a_grey_image_is_refused_before_any_work():
    bank = ProposalBank(IMAGE, tiny_model())
    with pytest.raises(UserError, match="grey and has no main colour"):
        run(bank.prepare(CONFIG.replace(shown="main_colour")))
    assert bank.n_prompts == 0


def test_the_line_of_settings_says_what_is_shown():
    assert summary(CONFIG.replace(shown="local_contrast")).startswith(
        "5 × 5 points · image: local contrast · quality"
    )
    assert "image" not in summary(CONFIG)
