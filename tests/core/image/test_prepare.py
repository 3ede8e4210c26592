from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.image.prepare import prepare

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
EXACT = ImageMapping(stretch="limits", limits=(0, 255))

numbers = st.sampled_from([np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])


def images(dtype):
    sides = st.integers(8, 20)
    return hnp.arrays(dtype, st.tuples(sides, sides))


any_image = numbers.flatmap(images)


@given(any_image)
def test_any_numbers_become_grey_bytes_or_a_user_error(array):
    try:
        made = prepare(array)
    except UserError:
        finite = array[np.isfinite(array)]
        # In Python's floats, which overflow to infinity without a warning.
        assert finite.size == 0 or float(finite.max()) - float(finite.min()) in (0, math.inf)
        return
    assert made.rgb.dtype == np.uint8
    assert made.rgb.shape == (*array.shape, 3)
    assert (made.rgb == made.rgb[..., :1]).all()
    assert not made.rgb.flags.writeable


@given(images(np.int32), st.sampled_from(["percentile", "none"]))
def test_the_mapping_is_monotone(array, stretch):
    try:
        made = prepare(array, ImageMapping(stretch=stretch))
    except UserError:
        return
    if any("fill value" in note for note in made.notes):  # it is black, however high
        return
    shown = made.rgb[..., 0].ravel()
    order = np.argsort(array.ravel(), kind="stable")
    assert (np.diff(shown[order].astype(int)) >= 0).all()


@given(images(np.uint8))
def test_invert_is_255_minus(array):
    mapping = ImageMapping(stretch="none")
    try:
        plain = prepare(array, mapping)
    except UserError:
        return
    np.testing.assert_array_equal(255 - plain.rgb, prepare(array, mapping.replace(invert=True)).rgb)


@given(images(np.float32), st.floats(0.01, 100), st.floats(-100, 100))
def test_percentiles_do_not_depend_on_gain_and_offset(array, gain, offset):
    array = np.clip(np.nan_to_num(array), -1000, 1000).astype(np.float64)
    try:
        plain = prepare(array).rgb.astype(int)
    except UserError:
        return
    if np.ptp(array) < 1e-3:
        return
    assert np.abs(plain - prepare(array * gain + offset).rgb).max() <= 1


def test_eight_bit_is_kept_by_none_and_by_full_limits():
    np.testing.assert_array_equal(prepare(RAMP, ImageMapping(stretch="none")).rgb[..., 1], RAMP)
    np.testing.assert_array_equal(prepare(RAMP, EXACT).rgb[..., 1], RAMP)


def test_a_full_range_eight_bit_image_hardly_changes_under_percentiles():
    shown = prepare(RAMP).rgb[..., 0].astype(int)
    assert np.abs(shown - RAMP).max() <= 1


def test_percentiles_come_from_the_data_not_from_the_type():
    dim = (RAMP.astype(np.uint16) % 64) + 1000
    shown = prepare(dim).rgb
    assert shown.min() == 0
    assert shown.max() == 255


def test_known_values_round_to_nearest():
    array = np.zeros((8, 8), dtype=np.float32)
    array[0, :4] = [1.0, 0.5, 0.25, 2.0]
    shown = prepare(array, ImageMapping(stretch="limits", limits=(0, 1))).rgb[0, :5, 0]
    np.testing.assert_array_equal(shown, [255, 128, 64, 255, 0])


@pytest.mark.parametrize(
    ("dtype", "lowest", "highest"), [(np.uint16, 0, 65535), (np.int16, -32768, 32767), (bool, 0, 1)]
)
def test_no_stretch_maps_the_full_range_of_the_type(dtype, lowest, highest):
    array = np.zeros((8, 8), dtype=dtype)
    array[:4], array[4:] = lowest, highest
    shown = prepare(array, ImageMapping(stretch="none")).rgb
    assert shown[0, 0, 0] == 0
    assert shown[7, 7, 0] == 255


def test_an_almost_empty_image_falls_back_to_minimum_and_maximum():
    array = np.zeros((100, 100), dtype=np.uint16)
    array[3, 4] = 900
    made = prepare(array)
    assert made.rgb[3, 4, 0] == 255
    assert made.rgb.sum() == 3 * 255
    assert any("percentiles" in note for note in made.notes)


def test_nan_is_black_and_infinity_saturates_and_both_are_said():
    array = RAMP.astype(np.float32)
    array[0, 15], array[5, 5], array[6, 6] = np.nan, np.inf, -np.inf
    made = prepare(array)
    assert made.rgb[0, 15, 0] == 0
    assert made.rgb[5, 5, 0] == 255
    assert made.rgb[6, 6, 0] == 0
    assert "1 value was not a number (NaN) and shown black." in made.notes
    assert "2 values were infinite and shown as the brightest or darkest." in made.notes
    assert prepare(array, ImageMapping(invert=True)).rgb[0, 15, 0] == 0


def test_the_middle_plane_is_the_default_and_is_said():
    stack = np.stack([np.roll(RAMP, k) for k in range(5)])
    made = prepare(stack, EXACT)
    np.testing.assert_array_equal(made.rgb[..., 0], stack[2])
    assert made.notes == ("Plane 2 of 0 to 4 was taken along axis 0.",)


def test_plane_channel_and_projection_of_five_axes():
    rng = np.random.default_rng(0)
    array = rng.integers(0, 256, (3, 4, 2, 10, 12), dtype=np.uint8)

    def grey(**how):
        return prepare(array, EXACT.replace(**how)).rgb[..., 0]

    np.testing.assert_array_equal(grey(plane=(1, 2, 0)), array[1, 2, 0])
    np.testing.assert_array_equal(grey(plane=(1, 2, 0), channel=1), array[1, 2, 1])
    np.testing.assert_array_equal(
        grey(plane=(0, 2, 0), channel=1, projection="max"), array[:, 2, 1].max(axis=0)
    )
    mean = np.rint(array[:, 3, 1].mean(axis=0)).astype(np.uint8)
    np.testing.assert_array_equal(grey(plane=(0, 3, 1), projection="mean"), mean)


def test_projections_leave_out_what_is_not_finite():
    stack = np.stack([RAMP, RAMP, RAMP]).astype(np.float32)
    stack[0, 2, 3], stack[1, 4, 5] = np.nan, np.inf
    stack[:, 0, 15] = np.nan
    for projection in ("max", "mean"):
        made = prepare(stack, EXACT.replace(projection=projection))
        expected = RAMP.copy()
        expected[0, 15] = 0
        np.testing.assert_array_equal(made.rgb[..., 0], expected)


def test_colour_is_found_stretched_jointly_and_loses_its_transparency():
    rgba = np.zeros((10, 10, 4), dtype=np.uint8)
    rgba[..., 0], rgba[..., 1], rgba[..., 2] = 20, 60, 100
    rgba[0, 0, :3] = 20
    rgba[..., 3] = np.arange(10)
    made = prepare(rgba)
    np.testing.assert_array_equal(made.rgb[5, 5], [0, 128, 255])
    assert made.notes == ("The transparency of the image was ignored.",)
    np.testing.assert_array_equal(
        prepare(rgba, ImageMapping(channel=2, stretch="none")).rgb[5, 5], [100, 100, 100]
    )


def test_rgb_can_be_forced_and_forbidden():
    volume = np.random.default_rng(1).integers(0, 255, (20, 12, 3)).astype(np.float32)
    assert prepare(volume, rgb=True).shape == (20, 12)
    with pytest.raises(UserError, match=r"12 x 3 pixels.*move rows and columns last"):
        prepare(volume.astype(np.uint8), rgb=False)
    with pytest.raises(UserError, match="last axis of length 3 or 4"):
        prepare(RAMP, rgb=True)


def test_the_finest_level_of_a_multiscale_image_is_taken():
    made = prepare([RAMP, RAMP[::2, ::2]], EXACT)
    assert made.shape == (16, 16)
    assert made.notes == ("The finest of 2 resolution levels was taken.",)
    with pytest.raises(UserError, match=r"numpy\.stack"):
        prepare([RAMP, RAMP])
    nested = RAMP.tolist()
    np.testing.assert_array_equal(prepare(nested, EXACT).rgb[..., 0], RAMP)


def test_dask_computes_only_the_chosen_plane():
    da = pytest.importorskip("dask.array")
    computed = []

    def block(block_info=None):
        computed.append(block_info[None]["chunk-location"][0])
        return RAMP[np.newaxis]

    lazy = da.map_blocks(block, chunks=((1,) * 6, (16,), (16,)), dtype=np.uint8)
    np.testing.assert_array_equal(prepare(lazy, EXACT.replace(plane=(4,))).rgb[..., 0], RAMP)
    assert computed == [4]


def test_zarr_and_big_endian_data_work():
    zarr = pytest.importorskip("zarr")
    stack = np.stack([RAMP, RAMP[::-1]])
    stored = zarr.array(stack, chunks=(1, 16, 16))
    np.testing.assert_array_equal(
        prepare(stored, EXACT.replace(plane=(1,))).rgb[..., 0], RAMP[::-1]
    )
    np.testing.assert_array_equal(prepare(RAMP.astype(">u2"), EXACT).rgb[..., 0], RAMP)


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros(5), "at least two axes"),
        (np.float32(3.0), "at least two axes"),
        (np.zeros((0, 30)), r"empty \(shape \(0, 30\)\)"),
        (np.full((9, 9), 7), r"constant \(every value is 7\)"),
        (np.full((9, 9), np.nan), "no finite value"),
        (np.ones((9, 9), complex), r"numpy\.abs"),
        (np.full((9, 9), "a"), "not numbers"),
        (np.full((9, 9), None), "not numbers"),
        (np.zeros((9, 9), "datetime64[s]"), "not numbers"),
        (np.zeros((1, 1)), "1 x 1 pixels and at least 8 x 8"),
        (np.zeros((1, 1, 1, 1, 1, 1, 9, 9)), "8 axes and at most 7"),
        (np.tile([[0.0, 1.7e308], [-1.7e308, 0.0]], (5, 5)), "rescale the image"),
        (np.tile(np.uint8([1, 2, 3]), (9, 9, 1)), "Every pixel came out the same"),
        ("image.tif", "read the file first"),
    ],
)
def test_what_cannot_be_shown_is_one_clear_sentence(array, sentence):
    with pytest.raises(UserError, match=sentence):
        prepare(array)


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        (ImageMapping(plane=(9,)), "Plane 9 does not exist along axis 0: choose one from 0 to 2"),
        (ImageMapping(plane=(-1,)), "Plane -1 does not exist"),
        (ImageMapping(plane=(0, 0)), "has 2 numbers, but the image has 1 axes"),
        (ImageMapping(channel=3), "Channel 3 does not exist: choose one from 0 to 2"),
        (ImageMapping(channel=0, projection="max"), "no axis left"),
        (
            ImageMapping(stretch="limits", limits=(500, 600)),
            "came out the same between 500 and 600",
        ),
    ],
)
def test_a_plane_that_is_not_there(mapping, sentence):
    with pytest.raises(UserError, match=sentence):
        prepare(np.stack([RAMP] * 3), mapping)


def test_a_single_plane_has_no_projection_or_channel():
    with pytest.raises(UserError, match="only a single plane: set the projection to 'none'"):
        prepare(RAMP, ImageMapping(projection="mean"))
    with pytest.raises(UserError, match="no axis left for a channel: leave the channel unset"):
        prepare(RAMP, ImageMapping(channel=0))
    colour = np.random.default_rng(0).integers(0, 255, (9, 9, 3)).astype(np.uint8)
    with pytest.raises(UserError, match=r"0 \(red\)"):
        prepare(colour, ImageMapping(channel=3))


@pytest.mark.parametrize(
    "values",
    [
        {"projection": "sum"},
        {"stretch": "gamma"},
        {"stretch": "limits"},
        {"low": 60, "high": 40},
        {"high": 101},
        {"limits": [3, 3]},
        {"limits": [0, float("nan")]},
        {"limits": [1]},
        {"plane": 3},
        {"low": "a"},
        {"gamma": 1},
    ],
)
def test_wrong_settings_are_user_errors(values):
    with pytest.raises(UserError):
        ImageMapping.from_dict(values)


@given(
    st.builds(
        ImageMapping,
        plane=st.none() | st.lists(st.integers(0, 9), max_size=3).map(tuple),
        channel=st.none() | st.integers(0, 3),
        projection=st.sampled_from(["none", "max", "mean"]),
        stretch=st.sampled_from(["percentile", "none", "limits"]),
        limits=st.tuples(st.floats(-9, 0), st.floats(1, 9)),
        invert=st.booleans(),
    )
)
def test_mappings_survive_json(mapping):
    assert ImageMapping.from_dict(json.loads(json.dumps(mapping.to_dict()))) == mapping


def test_the_key_follows_the_pixels_and_nothing_else():
    one = prepare(RAMP, EXACT, name="a")
    assert one.key == prepare(RAMP.copy(), EXACT, name="b").key
    changed = RAMP.copy()
    changed[0, 0] = 1
    assert one.key != prepare(changed, EXACT).key
    assert one.key != prepare(RAMP.reshape(8, 32), EXACT).key


def test_a_micrograph_does_not_share_writable_memory():
    rgb = np.zeros((9, 9, 3), dtype=np.uint8)
    made = Micrograph(rgb, pixel_size=(2, 3), unit="nm")
    rgb[:] = 1
    assert made.rgb.max() == 0
    assert made.pixel_size == (2.0, 3.0)
    with pytest.raises(UserError, match="pixel size"):
        Micrograph(rgb, pixel_size=(0, 1))
    with pytest.raises(UserError, match="use prepare"):
        Micrograph(rgb[..., 0])
