"""Channels are channels and planes are planes, wherever their axes stand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.axes import channel_axis, projected_axis
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.plane_text import parse_planes
from napari_samstar.core.image.prepare import prepare

SIZES = {"T": 2, "C": 3, "Z": 4}
EXACT = ImageMapping(stretch="limits", limits=(0, 255))
ORDERS = ["".join(p) for p in permutations("TCZ")] + ["".join(p) for p in permutations("CZ")]


def numbered(letters: str) -> np.ndarray:
    """Return planes of 9 x 9 px; two pixels say which one it is: 20 t + 5 z + c, and its half."""
    array = np.zeros((*(SIZES[a] for a in letters), 9, 9), dtype=np.uint8)
    for index in np.ndindex(*array.shape[:-2]):
        at = dict(zip(letters, index, strict=True))
        array[(*index, 0, 0)] = number(**at)
        array[(*index, 0, 1)] = number(**at) // 2
    return array


def number(T: int = 0, Z: int = 0, C: int = 0) -> int:
    return 40 + 20 * T + 5 * Z + C


def shown(letters: str, **mapping) -> int:
    image = prepare(numbered(letters), EXACT.replace(**mapping), axes=letters + "YX", rgb=False)
    return int(image.rgb[0, 0, 0])


@pytest.mark.parametrize("letters", ORDERS)
def test_a_channel_is_taken_along_c_wherever_it_stands(letters):
    middle = {a: SIZES[a] // 2 for a in letters if a != "C"}
    for channel in range(3):
        assert shown(letters, channel=channel) == number(C=channel, **middle)
    with pytest.raises(UserError, match="Channel 3 does not exist: choose one from 0 to 2"):
        shown(letters, channel=3)


@pytest.mark.parametrize("letters", ORDERS)
def test_the_first_channel_is_taken_where_none_is_chosen(letters):
    assert shown(letters) == number(**{a: SIZES[a] // 2 for a in letters if a != "C"})


@pytest.mark.parametrize("letters", ORDERS)
def test_a_projection_goes_through_depth_and_never_through_channels(letters):
    middle = {"T": 1} if "T" in letters else {}
    assert shown(letters, projection="max", channel=1) == number(Z=3, C=1, **middle)
    assert shown(letters, projection="max") == number(Z=3, **middle)


@pytest.mark.parametrize("letters", ORDERS)
def test_names_of_axes_choose_a_plane(letters):
    sizes = tuple(SIZES[a] for a in letters)
    (plane,) = parse_planes("z=3", sizes, letters + "YX")
    assert shown(letters, plane=plane) == number(Z=3, **({"T": 1} if "T" in letters else {}))
    if "T" in letters:
        (plane,) = parse_planes("z = 2, T=0", sizes, letters + "YX")
        assert shown(letters, plane=plane, channel=2) == number(Z=2, C=2)


def test_channels_need_no_number_in_a_plane():
    assert parse_planes("3", (2, 5), "CZYX") == ((0, 3),)
    assert parse_planes("1,3", (2, 2, 5), "TCZYX") == ((1, 0, 3),)
    assert parse_planes("0,4,8", (1, 9), "TZYX") == ((0, 0), (0, 4), (0, 8))
    assert parse_planes("z=0,2,t=1", (2, 5), "TZYX") == ((1, 0), (1, 2))
    assert parse_planes("t=1", (2, 3), "TZYX", "all") == ((1, 0), (1, 1), (1, 2))
    assert parse_planes("z=1", (2, 3), "CZYX", "all") == ((0, 1),)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("t=1", "no axis T; before rows and columns are C, Z"),
        ("z=5", "There is no plane 0,5"),
        ("7,1", "There is no plane 7,1"),
        ("z=", "does not name planes"),
        ("z=a", "does not name planes"),
        ("4,z=1", "does not name planes"),
    ],
)
def test_names_that_do_not_fit_are_told(text, sentence):
    with pytest.raises(UserError, match=sentence):
        parse_planes(text, (2, 5), "CZYX")


def test_an_image_without_channels_says_what_its_axes_are():
    with pytest.raises(UserError, match="no axis left for a channel, its axes are ZYX"):
        shown("Z", channel=1)
    with pytest.raises(UserError, match="no axis to project, only a single plane of each channel"):
        shown("C", projection="max")


def test_where_axes_are_not_known_the_last_one_holds_channels():
    assert channel_axis("", 2) == 1
    assert channel_axis("QYX", 1) == 0
    assert channel_axis("ZYX", 1) is None
    assert channel_axis("", 0) is None
    assert projected_axis("", 2) == 0
    assert projected_axis("CTYX", 2) == 1


def test_channels_are_merged_in_their_colours():
    array = np.zeros((3, 9, 9), dtype=np.uint16)
    for k in range(3):
        array[k, k, :] = 1000 * (k + 1)
    chosen = ImageMapping(channel=(0, 2), stretch="percentile", low=0, high=100)
    rgb = prepare(array, chosen, axes="CYX").rgb
    assert rgb[:4, 4].tolist() == [[255, 0, 0], [0, 0, 0], [0, 255, 0], [0, 0, 0]]
    own = chosen.replace(channel=(0, 2), colours=("#ffffff", "#800000"))
    rgb = prepare(array, own, axes="CYX").rgb
    assert rgb[:3, 4].tolist() == [[255, 255, 255], [0, 0, 0], [128, 0, 0]]
    inverted = prepare(array, own.replace(invert=True), axes="CYX").rgb
    np.testing.assert_array_equal(inverted, 255 - rgb)


def test_a_constant_channel_adds_nothing_and_is_noted():
    array = np.zeros((2, 9, 9), dtype=np.uint8)
    array[1, 2:4] = 200
    image = prepare(array, ImageMapping(channel=(0, 1)), axes="CYX")
    assert image.rgb[3, 3].tolist() == [0, 255, 0]
    assert any("Channel 0 is constant" in note for note in image.notes)
    with pytest.raises(UserError, match="All merged channels are constant"):
        prepare(np.zeros_like(array), ImageMapping(channel=(0, 1)), axes="CYX")


def test_merged_channels_go_through_a_recipe():
    mapping = ImageMapping(channel=(0, 2), colours=("#00ff00", "#0000ff"))
    assert ImageMapping.from_dict(mapping.to_dict()) == mapping
    assert "colours" not in ImageMapping(channel=1).to_dict()
    assert mapping.replace(channel=1).colours is None
    assert ImageMapping(channel=(2,)) == ImageMapping(channel=2)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"channel": (0, 0)}, "different channels"),
        ({"channel": tuple(range(7))}, "Two to 6"),
        ({"channel": (0, 1), "colours": ("#ff0000",)}, "one colour each"),
        ({"channel": (0, 1), "colours": ("red", "blue")}, "written like"),
        ({"channel": 0, "colours": ("#ff0000",)}, "give more than one channel"),
    ],
)
def test_channels_that_cannot_be_merged_are_told(values, sentence):
    with pytest.raises(UserError, match=sentence):
        ImageMapping(**values)
