from __future__ import annotations

import time

import numpy as np
import pytest

from training import synth

SHAPE = (160, 192)


@pytest.mark.parametrize("family", sorted(synth.FAMILIES))
def test_each_family_gives_an_image_and_masks_inside_it(family: str) -> None:
    found = 0
    for seed in range(4):
        made = synth.generate(family, SHAPE, np.random.default_rng(seed))
        assert made.image.shape == SHAPE
        assert made.image.dtype == np.uint8
        assert np.ptp(made.image) > 20
        for row, col, mask in made.masks:
            assert mask.dtype == bool
            assert mask.sum() >= 9
            assert row >= 0
            assert col >= 0
            assert row + mask.shape[0] <= SHAPE[0]
            assert col + mask.shape[1] <= SHAPE[1]
        found += len(made.masks)
    assert (found == 0) is (family == "empty")


@pytest.mark.parametrize("family", sorted(synth.FAMILIES))
def test_equal_seeds_give_equal_samples(family: str) -> None:
    first, second = (synth.generate(family, SHAPE, np.random.default_rng(7)) for _ in "ab")
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.stack(), second.stack())


def test_small_instances_are_on_top_in_the_label_image() -> None:
    big, small = np.ones((8, 8), bool), np.ones((3, 3), bool)
    made = synth.Sample(np.zeros((10, 10), np.uint8), ((2, 2, small), (1, 1, big)))
    label = made.label()
    assert (label[2:5, 2:5] == 1).all()
    assert (label == 2).sum() == 64 - 9


def test_masks_of_opaque_families_do_not_overlap() -> None:
    for family in ("sem", "fluo", "phase", "tiles"):
        for seed in range(3):
            made = synth.generate(family, SHAPE, np.random.default_rng(seed))
            assert made.stack().sum(0).max() <= 1


def test_most_bright_field_images_have_particles_darker_than_the_film() -> None:
    dark = []
    for seed in range(12):
        made = synth.generate("tem", SHAPE, np.random.default_rng(seed))
        depth = made.stack().sum(0)
        if (depth == 0).any() and (depth > 0).any():
            dark.append(float(made.image[depth > 0].mean() - made.image[depth == 0].mean()))
    assert np.mean(np.array(dark) < 0) > 0.6  # the rest have inverted contrast or thick film


def test_a_crop_takes_less_than_half_a_second() -> None:
    start = time.process_time()  # other programs do not count
    for seed in range(12):
        rng = np.random.default_rng(seed)
        synth.generate(synth.any_family(rng), (256, 256), rng)
    assert (time.process_time() - start) / 12 < 0.5
