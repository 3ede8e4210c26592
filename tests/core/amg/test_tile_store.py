"""Finished tiles on disk: what is read back gives the same selection, whatever is damaged."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
import torch

from benchmarks.bank import discs
from napari_samstar.core.amg import tile_store
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import kept_of_part, select
from napari_samstar.core.amg.tile_store import TileStore, decode_parts, pack, reduced, unpack
from napari_samstar.core.masks.labels import paint
from napari_samstar.core.progress import run
from tests.core.tiny import tiny_model

CONFIG = AmgConfig(points_per_side=6, pred_iou_thresh=0.3, stability_score_thresh=0.3, tile_scale=2)
IMAGE = discs((200, 240))
CPU = torch.device("cpu")


def bank() -> ProposalBank:
    return ProposalBank(IMAGE, tiny_model())


@pytest.fixture
def store(tmp_path):
    return TileStore(tmp_path / "tiles")


@pytest.fixture(scope="module")
def whole():
    """All candidates, in one process, without a store."""
    found = bank()
    run(found.prepare(CONFIG))
    return found


def labels_of(some, config=CONFIG):
    return paint(some.masks, select(some, config).ids)


def prepared(store, config=CONFIG):
    some = bank()
    run(some.prepare(config, decode=decode_parts(some, config, store)))
    return some


def test_there_are_several_tiles_with_objects(whole):
    assert len(whole.parts(CONFIG)) >= 4
    assert labels_of(whole).max() >= 4


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        CONFIG.replace(pred_iou_thresh=0.75, min_mask_region_area=20),
        CONFIG.replace(pred_iou_thresh=0.99, stability_score_thresh=0.99),  # keeps hardly any
        CONFIG.replace(tile_scale=0, crop_n_layers=1),
    ],
)
def test_tiles_read_back_give_the_same_selection_bit_for_bit(store, config):
    expected_bank = bank()
    run(expected_bank.prepare(config))
    prepared(store, config)
    again = prepared(store, config)
    assert again.n_prompts == 0  # nothing was decoded
    expected, found = select(expected_bank, config), select(again, config)
    for name in ("predicted_iou", "stability", "points", "boxes", "crop_boxes"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert ours.dtype == theirs.dtype, name
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
    np.testing.assert_array_equal(labels_of(again, config), labels_of(expected_bank, config))


def test_only_what_is_kept_is_stored(whole):
    part = whole.parts(CONFIG)[0]
    candidates = whole.table(part).candidates
    few = reduced(whole, part, CONFIG, candidates)
    assert 0 < len(few.masks) == len(kept_of_part(whole, part, CONFIG).ids)
    assert len(few.masks) < len(candidates.masks)
    assert few.n_prompts == candidates.n_prompts


def test_what_is_packed_is_read_back_unchanged(whole):
    part = whole.parts(CONFIG)[1]
    candidates = whole.table(part).candidates
    again = unpack(pack(candidates), part, CPU)
    for name in ("points", "predicted_iou", "stability", "boxes", "near_edge", "batch"):
        assert torch.equal(
            getattr(again, name).nan_to_num(), getattr(candidates, name).nan_to_num()
        )
    for ours, theirs in zip(again.masks, candidates.masks, strict=True):
        assert (ours.box, ours.area) == (theirs.box, theirs.area)
        np.testing.assert_array_equal(ours.bit_window.bits, theirs.bit_window.bits)


def test_boxes_that_were_prompts_are_read_back_and_may_be_missing(whole):
    part = whole.parts(CONFIG)[0]
    candidates = whole.table(part).candidates
    boxes = np.arange(4.0 * len(candidates.masks)).reshape(-1, 4) / 3
    boxed = dataclasses.replace(candidates, prompt_boxes=boxes)
    np.testing.assert_array_equal(unpack(pack(boxed), part, CPU).prompt_boxes, boxes)
    assert unpack(pack(candidates), part, CPU).prompt_boxes is None


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-40])


def flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def take_another(path):
    other = next(p for p in sorted(path.parent.iterdir()) if p != path)
    path.write_bytes(other.read_bytes())


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [cut_short, flip_a_byte, take_another, empty])
def test_a_damaged_tile_is_decoded_again(store, whole, harm):
    prepared(store)
    harm(sorted(store.folder.iterdir())[0])
    again = prepared(store)
    per_part = [whole.table(part).n_prompts for part in whole.parts(CONFIG)]
    assert 0 < again.n_prompts <= max(per_part)
    np.testing.assert_array_equal(labels_of(again), labels_of(whole))
    assert prepared(store).n_prompts == 0


def test_work_that_stops_after_a_tile_goes_on_with_the_next(store, whole):
    some = bank()
    parts = some.parts(CONFIG)
    steps = decode_parts(some, CONFIG, store)(parts)
    next(iter(steps))
    assert len(list(store.folder.iterdir())) == 1
    again = prepared(store)
    assert again.n_prompts == whole.n_prompts - whole.table(parts[0]).n_prompts
    np.testing.assert_array_equal(labels_of(again), labels_of(whole))


def test_other_pixels_settings_weights_or_threads_have_another_store(monkeypatch):
    model = tiny_model()
    found = [
        TileStore.of(IMAGE, CONFIG, model),
        TileStore.of(discs((200, 241)), CONFIG, model),
        TileStore.of(IMAGE, CONFIG.replace(box_nms_thresh=0.5), model),
        TileStore.of(IMAGE, CONFIG, tiny_model(1)),
    ]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    found.append(TileStore.of(IMAGE, CONFIG, model))
    assert len({store.folder for store in found}) == len(found)
    monkeypatch.undo()
    assert TileStore.of(IMAGE, CONFIG, model).folder == found[0].folder


def test_removed_stores_leave_nothing(store):
    prepared(store)
    store.remove()
    assert not store.folder.exists()
    store.remove()


def test_a_place_that_cannot_be_written_costs_nothing_but_time(tmp_path, whole, caplog):
    (tmp_path / "file").write_text("mine")
    store = TileStore(tmp_path / "file" / "tiles")
    np.testing.assert_array_equal(labels_of(prepared(store)), labels_of(whole))
    assert "is not kept" in caplog.text


def test_the_oldest_tiles_are_deleted_where_there_are_too_many(monkeypatch, tmp_path):
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path))
    monkeypatch.setattr(tile_store, "MAX_FILES", 1)
    first, second = (TileStore.of(IMAGE, CONFIG.replace(pred_iou_thresh=v), tiny_model())
                     for v in (0.3, 0.4))  # fmt: skip
    first.write("a", b"old")
    second.write("b", b"new")
    os.utime(first.folder / "a.npz", (1, 1))
    tile_store.trim()
    assert (first.read("a"), second.read("b")) == (None, b"new")
