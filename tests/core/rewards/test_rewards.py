"""Rewards of constructed selections: the correct one must score higher than degenerate ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_samstar.core.cues.image_cues import image_cues
from napari_samstar.core.errors import UserError
from napari_samstar.core.masks.shape import MAX_EXAMPLES
from napari_samstar.core.masks.store import MaskStore
from napari_samstar.core.rewards.expectations import Expectations
from napari_samstar.core.rewards.features import Features
from napari_samstar.core.rewards.marks import NO_MARKS, Marks
from napari_samstar.core.rewards.registry import GROUP, REWARDS, load_user_rewards, reward
from napari_samstar.core.rewards.view import AttainableLevels, View, evaluate
from tests.core.painted import add, disc, gray_of, rectangle, selection

SHAPE = (256, 256)
SIZES = Expectations(small=30, large=50)
SMALL = [
    disc(SHAPE, r, c, 7 + ((r + c) // 32) % 3)
    for r in range(24, 160, 32)
    for c in range(24, 250, 32)
]
LARGE = [disc(SHAPE, 205, 60, 32), disc(SHAPE, 205, 170, 36)]
GOOD = SMALL + LARGE
NO_LEVELS = AttainableLevels()
LEVELS = AttainableLevels(objects=len(GOOD))


def likely(masks):
    """Return probabilities as a model gives them: high for the objects, low for other masks."""
    return [0.95 if any(mask is one for one in GOOD) else 0.1 for mask in masks]


def rewards_of(image, masks, inputs=SIZES, marks=NO_MARKS, attainable=NO_LEVELS, probability=None):
    """Return the rewards of `masks` on `image`."""
    store = MaskStore(image.shape[:2])
    features = Features(store, image_cues(image, "bright"))
    ids = add(store, masks) if masks else []
    return evaluate(View(selection(store, ids, probability), features, inputs, marks, attainable))


@pytest.fixture(scope="module")
def evaluator():
    store = MaskStore(SHAPE)
    features = Features(store, image_cues(gray_of(GOOD)))

    def rewards(masks):
        ids = add(store, masks) if masks else []
        chosen = selection(store, ids, likely(masks))
        return evaluate(View(chosen, features, SIZES, attainable=LEVELS))

    return rewards


def halves(mask):
    middle = int(np.flatnonzero(mask.any(axis=0)).mean())
    left, right = mask.copy(), mask.copy()
    left[:, middle:] = False
    right[:, :middle] = False
    return [left, right]


def tiles(side):
    return [
        rectangle(SHAPE, r, c, r + side, c + side)
        for r in range(0, SHAPE[0], side)
        for c in range(0, SHAPE[1], side)
    ]


EVERYTHING = np.ones(SHAPE, dtype=bool)
UNION = np.any(GOOD, axis=0)
DEGENERATE = {
    "one mask over everything": [EVERYTHING],
    "the background": [~UNION],
    "a thousand fragments": tiles(8),
    "fragments of the foreground": [t & UNION for t in tiles(6) if (t & UNION).any()],
    "duplicates": GOOD * 4,
    "all but one deleted": GOOD[:1],
    "only the largest": GOOD[-1:],
    "every second deleted": GOOD[::2],
    "everything in halves": [half for mask in GOOD for half in halves(mask)],
    "good, and one over everything": [*GOOD, EVERYTHING],
    "good, and specks in the background": [
        *GOOD,
        *(rectangle(SHAPE, 0, c, 5, c + 5) for c in range(0, 250, 8)),
    ],
    "one mask over the foreground": [UNION],
}


def weighted_sum(rewards):
    return sum(REWARDS[n].weight * v for n, v in rewards.items())


def test_rewards_of_the_correct_selection_are_high(evaluator):
    assert min(evaluator(GOOD).values()) > 0.9


def test_rewards_of_an_empty_selection_are_zero(evaluator):
    assert set(evaluator([]).values()) == {0.0}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_selections_score_lower(evaluator, name):
    degenerate, good = evaluator(DEGENERATE[name]), evaluator(GOOD)
    assert all(0 <= v <= 1 for v in degenerate.values())
    assert weighted_sum(degenerate) < weighted_sum(good) - 0.15
    # The outlines of the background are those of the objects, so `boundary` is as high. The specks
    # are rounder than the objects, so rewards of shapes are as high.
    exceptions = {
        "the background": {"boundary"},
        "good, and specks in the background": {"solidity", "circularity"},
    }.get(name, set())
    assert all(degenerate[n] <= good[n] + 0.01 for n in good.keys() - exceptions)


def test_pairing_is_relative_to_the_attainable_objects():
    """Ten discs, perfectly: enough only if not many more can be found."""
    store = MaskStore(SHAPE)
    features = Features(store, image_cues(gray_of(GOOD), "bright"))
    ten = selection(store, add(store, SMALL[:10]))
    shares = [
        View(ten, features, SIZES, attainable=AttainableLevels(objects=n)).paired(0.9)
        for n in (40, 20, 12, 5)
    ]
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] == shares[3] == pytest.approx(2 * 0.9 / 1.9)
    enough = 10 / (0.8 * 40)
    assert shares[0] == pytest.approx(2 * 0.9 * enough / (0.9 + enough))


@pytest.mark.parametrize("name", ["coverage", "no_merging", "large_objects"])
def test_a_foreground_that_no_setting_fits_weighs_nothing(name):
    """The estimate of the foreground is wrong on many kinds of images, such as phase contrast."""
    image = gray_of(GOOD)
    assert name in rewards_of(image, GOOD, attainable=AttainableLevels(coverage=0.31))
    assert name not in rewards_of(image, GOOD, attainable=AttainableLevels(coverage=0.29))


def test_likely_objects_is_the_expected_f1():
    image = gray_of(GOOD)
    three = AttainableLevels(objects=3)
    found = rewards_of(image, GOOD[:4], attainable=three, probability=[0.9, 0.8, 0.3, 0.1])
    assert found["likely_objects"] == pytest.approx(2 * 2.1 / (4 + 3))
    more = rewards_of(image, GOOD[:4], attainable=three, probability=[1.0, 1.0, 1.0, 1.0])
    assert more["likely_objects"] == 1.0  # more than was attainable is no more than perfect


def test_rewards_on_noise_are_within_zero_and_one():
    rng = np.random.default_rng(0)
    image = np.repeat(rng.integers(0, 255, (64, 64, 1), dtype=np.uint8), 3, axis=2)
    masks = [rng.random((64, 64)) < share for share in (0.01, 0.3, 0.9)]
    assert all(0 <= v <= 1 for v in rewards_of(image, masks).values())


@pytest.mark.parametrize("offset", [14, 20, 26])
def test_a_partly_hidden_neighbour_is_no_duplicate(offset):
    pair = [disc((96, 96), 48, 30, 16), disc((96, 96), 48, 30 + offset, 16)]
    iou = (pair[0] & pair[1]).sum() / (pair[0] | pair[1]).sum()
    assert 0.02 < iou < 0.6
    assert rewards_of(gray_of(pair), pair)["overlap_fidelity"] > 0.95


@pytest.mark.parametrize(
    "second", [disc((96, 96), 48, 46, 20), disc((96, 96), 48, 48, 20), disc((96, 96), 50, 46, 8)]
)
def test_a_duplicate_or_nested_mask_lowers_overlap_fidelity(second):
    one = disc((96, 96), 48, 46, 21)
    image = gray_of([one])
    assert rewards_of(image, [one, second])["overlap_fidelity"] < 0.7
    assert rewards_of(image, [one])["overlap_fidelity"] > 0.95


@pytest.mark.parametrize("radius", [6, 9, 14, 22, 34])
def test_a_disc_cut_where_there_is_no_edge_counts_as_fragments(radius):
    whole = disc((128, 128), 64, 64, radius)
    image = gray_of([whole])
    assert rewards_of(image, [whole])["no_oversegmentation"] > 0.95
    assert rewards_of(image, halves(whole))["no_oversegmentation"] < 0.7


@pytest.mark.parametrize("radius", [6, 9, 14, 22])
def test_touching_discs_with_an_edge_between_are_no_fragments(radius):
    left, right = (
        disc((128, 128), 64, 64 - radius, radius),
        disc((128, 128), 64, 64 + radius, radius),
    )
    right &= ~left
    image = gray_of([left])
    image[right] = gray_of([right], level=120)[right]
    assert rewards_of(image, [left, right])["no_oversegmentation"] > 0.95


def test_touching_squares_with_a_seam_are_no_fragments():
    left, right = (rectangle((96, 128), 30, c, 66, c + 36) for c in (28, 64))
    image = gray_of([left, right])
    image[30:66, 63:65] = 90
    assert rewards_of(image, [left, right])["no_oversegmentation"] > 0.95


def test_small_objects_matches_each_blob_once(evaluator):
    found = [evaluator(SMALL[:n])["small_objects"] for n in (0, 10, 20, 40)]
    expected = [2 * n / (40 + n) for n in (0, 10, 20, 40)]
    assert found == pytest.approx(expected, abs=0.05)
    assert evaluator(SMALL * 2)["small_objects"] == pytest.approx(2 / 3, abs=0.05)


def test_small_objects_does_not_apply_to_an_image_without_blobs():
    big = disc((200, 200), 100, 100, 60)
    image = gray_of([big])
    specks = [rectangle((200, 200), r, 4, r + 5, 9) for r in range(0, 190, 10)]
    assert "small_objects" not in rewards_of(image, [big])
    assert rewards_of(image, [big, *specks])["coverage"] < rewards_of(image, [big])["coverage"]
    assert (
        rewards_of(image, [big, *specks])["boundary"] < rewards_of(image, [big])["boundary"] - 0.1
    )


def test_large_objects_needs_large_masks(evaluator):
    assert evaluator(LARGE)["large_objects"] > 0.95
    assert evaluator(LARGE[:1])["large_objects"] < 0.7
    assert evaluator(SMALL)["large_objects"] == 0
    assert evaluator([t & UNION for t in tiles(8) if (t & UNION).any()])["large_objects"] == 0


def test_boundary_is_lower_for_outlines_away_from_edges(evaluator):
    def grown(by):
        return [disc(SHAPE, 205, 60, 32 + by), disc(SHAPE, 205, 170, 36 + by)]

    values = [evaluator([*SMALL, *grown(by)])["boundary"] for by in (0, 6)]
    assert values[0] > 0.9
    assert values[1] < values[0] - 0.02
    shifted = [np.roll(mask, 8, axis=1) for mask in GOOD]
    assert evaluator(shifted)["boundary"] < 0.75


def test_confidence_is_the_mean_of_predicted_iou_and_stability():
    one = disc((96, 96), 48, 48, 20)
    store = MaskStore((96, 96))
    features = Features(store, image_cues(gray_of([one]), "bright"))
    chosen = selection(store, add(store, [one]))
    chosen.predicted_iou[:] = 0.5
    chosen.stability[:] = np.nan  # a mask without a pixel has no stability
    confidence = evaluate(View(chosen, features, SIZES))["confidence"]
    assert confidence == pytest.approx(2 * 0.25 / 1.25, abs=0.02)


def test_rewards_do_not_depend_on_the_order_of_masks(evaluator):
    shuffled = [GOOD[k] for k in np.random.default_rng(1).permutation(len(GOOD))]
    assert evaluator(shuffled) == pytest.approx(evaluator(GOOD))


def test_size_limits_follow_the_median_object():
    sizes = Expectations().completed(image_cues(gray_of(SMALL)))
    assert 20 < sizes.small < 45
    assert sizes.large == 2 * sizes.small


def test_every_reward_has_a_help_text_and_a_docstring():
    for name, known in REWARDS.items():
        assert known.name == name
        assert known.help.endswith(".")
        assert known.compute.__doc__
        assert known.objective in (0, 1, 2)


# --- rewards that need input from the user ---


def test_rewards_without_their_inputs_are_left_out(evaluator):
    assert not {n for n, r in REWARDS.items() if r.needs} & evaluator(GOOD).keys()


def test_count_is_highest_at_the_expected_number():
    inputs = replace(SIZES, count=42)
    values = [
        rewards_of(gray_of(GOOD), masks, inputs, attainable=LEVELS)["count"]
        for masks in (GOOD, GOOD[:21], GOOD * 3)
    ]
    assert values[0] > 0.98
    assert max(values[1:]) < 0.7
    others = tiles(39)[:42]
    found = rewards_of(gray_of(GOOD), others, inputs, attainable=LEVELS, probability=likely(others))
    assert found["count"] < 0.7, "the number alone is not enough"


def test_size_distribution_prefers_the_expected_diameters():
    image = gray_of(SMALL)
    right = rewards_of(image, SMALL, Expectations(small=30, large=50, diameter=16, spread=1.2))
    wrong = rewards_of(image, SMALL, Expectations(small=30, large=50, diameter=32, spread=1.2))
    assert right["size_distribution"] > 0.75
    assert wrong["size_distribution"] < 0.1


def test_spacing_is_lower_for_neighbours_that_are_too_close():
    inputs = replace(SIZES, spacing=25)
    image = gray_of(GOOD)
    whole = rewards_of(image, GOOD, inputs)["spacing"]
    assert whole > 0.95
    assert rewards_of(image, [h for m in GOOD for h in halves(m)], inputs)["spacing"] < 0.3


def test_contrast_and_homogeneity_are_lower_for_shifted_masks(evaluator):
    shifted = evaluator([np.roll(mask, 6, axis=1) for mask in GOOD])
    good = evaluator(GOOD)
    for name in ("contrast", "homogeneity"):
        assert good[name] > 0.9
        assert shifted[name] < good[name] - 0.2


@pytest.mark.parametrize(
    ("name", "target"), [("circularity", 0.5), ("aspect_ratio", 4.0), ("solidity", 0.99)]
)
def test_rewards_of_shapes_are_relative_to_their_target(name, target):
    rods = [rectangle(SHAPE, r, c, r + 8, c + 32) for r in range(20, 230, 30) for c in (20, 120)]
    image = gray_of(rods)
    inputs = replace(SIZES, **{name: target})
    assert rewards_of(image, rods, inputs)[name] > 0.9
    if name != "solidity":
        assert rewards_of(image, rods)[name] < rewards_of(image, rods, inputs)[name] - 0.15


RODS = [rectangle(SHAPE, r, c, r + 8, c + 32) for r in range(16, 250, 32) for c in (16, 80, 144)]
SPHERES = [disc(SHAPE, r + 4, 220, 9) for r in range(16, 250, 32)]


def test_shape_prior_separates_rods_from_spheres_of_equal_area():
    assert RODS[0].sum() == pytest.approx(SPHERES[0].sum(), rel=0.05)
    examples = np.zeros(SHAPE, dtype=np.int32)
    for k, mask in enumerate(RODS[:3], start=1):
        examples[mask] = k
    image = gray_of(RODS + SPHERES)

    def value(masks):
        attainable = AttainableLevels(like_examples=len(RODS))
        return rewards_of(image, masks, SIZES, Marks(examples=examples), attainable)["shape_prior"]

    rods_only = value(RODS)
    assert rods_only == pytest.approx(0.5, abs=0.01), "the maximum is half of the F1"
    assert rods_only > value(RODS + SPHERES) + 0.05
    assert rods_only > value(RODS[:12]) + 0.1, "fewer rods must score lower"
    assert rods_only > value(RODS[:1]) + 0.4
    assert rods_only > value(RODS + RODS) + 0.1, "duplicates must score lower"
    assert value(RODS + SPHERES) > value(RODS[:12] + SPHERES), "also with more spheres than rods"
    assert value(SPHERES) < 0.05
    assert value([h for m in RODS for h in halves(m)]) < rods_only / 3
    assert value([np.ones(SHAPE, bool)]) < 0.05


def test_circularity_cannot_separate_a_mixture_from_its_average():
    """Masks that all have the mean circularity score higher than the true mixture."""
    image = gray_of(RODS + SPHERES)
    shapes = Features(MaskStore(SHAPE), image_cues(image))
    ids = add(shapes.store, RODS + SPHERES)
    mean = float(shapes.shape(ids)[:, 0].mean())
    truth = rewards_of(image, RODS + SPHERES, replace(SIZES, circularity=mean))["circularity"]
    averages = [
        rectangle(SHAPE, r, c, r + 10, c + 26) for r in range(16, 250, 32) for c in (16, 80)
    ]
    assert (
        rewards_of(gray_of(averages), averages, replace(SIZES, circularity=mean))["circularity"]
        > truth
    )


def annotations_of(masks, **more):
    labels = np.zeros(SHAPE, dtype=np.int32)
    for k, mask in enumerate(masks, start=1):
        labels[mask] = k
    return Marks(annotations=labels, **more)


def test_annotations_compare_only_masks_in_annotated_places():
    image = gray_of(GOOD)
    marks = annotations_of(SMALL[:10])
    assert rewards_of(image, GOOD, SIZES, marks)["annotations"] == 1
    assert rewards_of(image, SMALL[:10], SIZES, marks)["annotations"] == 1
    assert rewards_of(image, SMALL[:5], SIZES, marks)["annotations"] == pytest.approx(2 / 3)
    assert rewards_of(image, SMALL[10:], SIZES, marks)["annotations"] == 0
    whole = annotations_of(SMALL[:10], region=np.ones(SHAPE, dtype=bool))
    assert rewards_of(image, GOOD, SIZES, whole)["annotations"] == pytest.approx(
        20 / (10 + len(GOOD))
    )


def test_each_annotated_point_needs_its_own_mask():
    image = gray_of(GOOD)
    centres = np.array([np.argwhere(m).mean(axis=0) for m in SMALL[:8]])
    marks = Marks(points=centres)
    assert rewards_of(image, GOOD, SIZES, marks)["annotations"] == 1
    assert rewards_of(image, [UNION], SIZES, marks)["annotations"] == pytest.approx(2 / 9)
    assert rewards_of(image, SMALL[:4] * 2, SIZES, marks)["annotations"] == pytest.approx(8 / 16)


def test_rewards_of_other_packages_are_loaded_by_entry_point(tmp_path, monkeypatch):
    """An installed package with two entry points: one module can be imported, one cannot."""
    (tmp_path / "their_rewards.py").write_text(
        "from napari_samstar.core.rewards import reward\n"
        "@reward(label='Theirs', help='Half.', objective=0, weight=0)\n"
        "def their_reward(view):\n"
        "    '''One half. Theirs.'''\n"
        "    return 0.5\n"
    )
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{GROUP}]\nworks = their_rewards\nbroken = no_such_module\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        failures = load_user_rewards.__wrapped__()
        assert rewards_of(gray_of(GOOD), GOOD)["their_reward"] == 0.5
    finally:
        REWARDS.pop("their_reward", None)
    (failure,) = failures
    assert "no_such_module" in failure


def test_a_reward_with_an_existing_name_is_refused():
    with pytest.raises(UserError, match="already: give yours another name"):
        reward(label="Mine", help="Mine.", objective=0, name="coverage")(lambda view: 0.0)


def test_a_mask_over_several_objects_lowers_no_merging(evaluator):
    pairs = [a | b for a, b in zip(SMALL[::2], SMALL[1::2], strict=True)]
    assert evaluator([*pairs, *LARGE])["no_merging"] < 0.2
    assert evaluator(GOOD)["no_merging"] > 0.98
    speckled = gray_of([disc(SHAPE, 128, 128, 60)])
    speckled[120:124, 120:124] = speckled[130:133, 140:143] = 255
    assert rewards_of(speckled, [disc(SHAPE, 128, 128, 60)])["no_merging"] > 0.95


def test_outlined_weighs_small_and_large_masks_equally(evaluator):
    specks = [disc(SHAPE, r, 8, 4) for r in range(8, 250, 12)]
    true, false = evaluator(GOOD), evaluator([*GOOD, *specks])
    assert true["outlined"] > 0.98
    assert false["outlined"] < true["outlined"] - 0.15
    assert false["outlined"] - true["outlined"] < false["coverage"] - true["coverage"]


def test_the_number_of_examples_is_limited():
    many = np.kron(np.arange(1, 401, dtype=np.int32).reshape(20, 20), np.ones((6, 6), np.int32))
    shapes = Marks(examples=many).shapes
    assert 20 < len(shapes) <= MAX_EXAMPLES
    assert len(Marks(examples=np.where(many < 9, many, 0)).shapes) == 8
