"""Prompts decoded in windows of the frame, against the whole frame."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from napari_samstar.core.amg.decode import decode_prompts
from napari_samstar.core.models.encoder import encode
from napari_samstar.core.progress import run
from napari_samstar.core.prompts.base import Prompts
from tests.core.disc_image import pocket
from tests.core.painted import disc, gray_of
from tests.core.tiny import tiny_model

SHAPE = (512, 512)  # the frame of the model: a pixel of the image is one of the frame
WINDOW = 256
SMALL = ((12, 14, 10), (60, 200, 16), (130, 420, 24), (256, 256, 30), (300, 90, 40),
         (400, 330, 20), (498, 497, 12), (430, 60, 50), (200, 330, 8))  # fmt: skip
LARGE = (256, 256, 180)  # row, column, radius: larger than a window


@lru_cache
def seen(*discs):
    """Embedding of an image of discs."""
    return encode(pocket(), gray_of([disc(SHAPE, *where) for where in discs]))


def prompts_at(*discs):
    return Prompts.single_points(np.array([[col, row] for row, col, _ in discs], dtype=float))


def decoded(embedding, prompts, *, tile, model=None):
    work = decode_prompts((model or pocket()).backend, embedding, (0, 0, *SHAPE[::-1]), SHAPE,
                          prompts, 64, tile=tile)  # fmt: skip
    return run(work)


def dense(mask):
    (row0, col0, row1, col1), window = mask.box, mask.bit_window
    image = np.zeros((SHAPE[0], -(-SHAPE[1] // 64) * 64), dtype=bool)
    bits = np.unpackbits(window.bits.view(np.uint8), axis=1, bitorder="little").view(bool)
    image[window.row : window.row + len(bits), window.word * 64 :][:, : bits.shape[1]] = bits
    image = image[:, : SHAPE[1]]
    assert image.sum() == image[row0:row1, col0:col1].sum() == mask.area
    return image


def iou(one, other):
    return (one & other).sum() / max((one | other).sum(), 1)


def best(candidates, k):
    """The mask of the highest predicted quality of one prompt."""
    scores = candidates.predicted_iou[3 * k : 3 * k + 3]
    return dense(candidates.masks[3 * k + int(scores.argmax())])


def test_windows_lie_around_their_prompts_and_in_the_frame():
    backend = pocket().backend
    prompts = prompts_at(*SMALL)
    logits, quality, origins = backend.decode_windows(seen(*SMALL), prompts.points, prompts.labels)
    low = backend.low_res_shape[0] // 2
    assert logits.shape == (len(SMALL), 3, low, low)
    assert quality.shape == (len(SMALL), 3)
    assert (origins >= 0).all()
    assert (origins <= backend.low_res_shape[0] - low).all()
    middles = np.clip((origins + low / 2) * 2, WINDOW / 2, SHAPE[0] - WINDOW / 2)
    wanted = np.clip(np.array(SMALL)[:, :2], WINDOW / 2, SHAPE[0] - WINDOW / 2)
    assert np.abs(middles - wanted).max() <= 8  # windows start at whole cells of 16 px


def test_small_objects_get_nearly_the_masks_of_the_whole_frame():
    embedding, prompts = seen(*SMALL), prompts_at(*SMALL)
    windows = decoded(embedding, prompts, tile=True)
    whole = decoded(embedding, prompts, tile=False)
    for k, where in enumerate(SMALL):
        ours, theirs = best(windows, k), best(whole, k)
        assert iou(ours, theirs) > 0.93, where
        assert iou(ours, disc(SHAPE, *where)) > iou(theirs, disc(SHAPE, *where)) - 0.03, where
    quality = windows.predicted_iou - whole.predicted_iou
    assert quality.reshape(-1, 3).amax(1).abs().max() < 0.1


def test_a_mask_that_reaches_the_edge_of_its_window_is_decoded_in_the_whole_frame():
    embedding, prompts = seen(LARGE), prompts_at(LARGE)
    windows, whole = (decoded(embedding, prompts, tile=tile) for tile in (True, False))
    assert iou(best(windows, 0), disc(SHAPE, *LARGE)) > 0.9
    assert best(windows, 0).any(axis=0).sum() > WINDOW
    for ours, theirs in zip(windows.masks, whole.masks, strict=True):
        assert iou(dense(ours), dense(theirs)) > 0.999
    np.testing.assert_allclose(windows.predicted_iou, whole.predicted_iou, atol=1e-5)
    np.testing.assert_allclose(windows.stability, whole.stability, atol=1e-3)


def test_in_one_batch_only_prompts_with_large_masks_use_the_whole_frame():
    # A large object, and a small one far from it.
    large, small = (220, 200, 150), (470, 470, 14)
    embedding, prompts = seen(large, small), prompts_at(small, large, small)
    both = decoded(embedding, prompts, tile=True)
    alone = decoded(embedding, prompts_at(small), tile=True)
    whole = decoded(embedding, prompts_at(large), tile=False)
    np.testing.assert_allclose(both.predicted_iou[:3], alone.predicted_iou, atol=1e-5)
    np.testing.assert_allclose(both.predicted_iou[6:], alone.predicted_iou, atol=1e-5)
    np.testing.assert_allclose(both.predicted_iou[3:6], whole.predicted_iou, atol=1e-5)
    assert iou(best(both, 1), best(whole, 0)) > 0.999
    assert iou(best(both, 0), best(alone, 0)) > 0.999


def test_a_mask_that_reaches_the_edge_of_the_frame_stays_in_its_window():
    corner = (0, 0, 40)
    embedding, prompts = seen(corner), Prompts.single_points(np.array([[12.0, 12.0]]))
    backend = pocket().backend
    logits, quality, origins = backend.decode_windows(embedding, prompts.points, prompts.labels)
    assert origins.tolist() == [[0, 0]]
    assert (logits[0, :, 0] > 0).any()  # it does reach that edge
    found = decoded(embedding, prompts, tile=True)
    np.testing.assert_allclose(found.predicted_iou, quality[0], atol=1e-5)
    assert iou(best(found, 0), disc(SHAPE, *corner)) > 0.9


def test_masks_of_a_tile_are_placed_in_the_image():
    embedding, where = seen(*SMALL), prompts_at(*SMALL)
    work = decode_prompts(pocket().backend, embedding, (1000, 700, 1512, 1212), (4000, 4000),
                          where, 64, tile=True)  # fmt: skip
    moved, at_home = run(work), decoded(embedding, where, tile=True)
    for there, here in zip(moved.masks, at_home.masks, strict=True):
        shift = (700, 1000, 700, 1000)
        assert there.box == (tuple(np.add(here.box, shift)) if here.area else (0, 0, 0, 0))
        assert there.area == here.area
    assert moved.boxes.equal(at_home.boxes)  # these are in the frame of the tile
    assert not moved.near_edge.any()


def test_a_model_without_windows_decodes_tiles_in_the_whole_frame():
    model = tiny_model()
    assert model.backend.window_side == 0
    assert pocket().backend.window_side == WINDOW
    embedding = encode(model, gray_of([disc(SHAPE, *where) for where in SMALL]))
    ours, theirs = (decoded(embedding, prompts_at(*SMALL), tile=t, model=model) for t in (1, 0))
    np.testing.assert_array_equal(ours.predicted_iou, theirs.predicted_iou)
    for one, other in zip(ours.masks, theirs.masks, strict=True):
        assert iou(dense(one), dense(other)) > 0.999
