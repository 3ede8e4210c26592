"""Channels by number and by name."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.channels import channel_names, n_channels, with_channels
from napari_samstar.core.image.loaded import LoadedImage

NAMES = ("DAPI", "actin, fixed", "GFP")


def stack(**about) -> LoadedImage:
    array = np.zeros((3, 2, 9, 9), dtype=np.uint16)
    return LoadedImage(array, False, "CZYX", channel_names=NAMES, name="cells", **about)


@pytest.mark.parametrize(
    ("text", "channel"),
    [
        ("0", 0),
        ("DAPI", 0),
        ("gfp ", 2),
        ("actin, fixed", 1),
        ("dapi,2", (0, 2)),
        ("2, 0", (2, 0)),
        ("all", (0, 1, 2)),
    ],
)
def test_names_and_numbers(text, channel):
    assert with_channels(stack(), text).mapping.channel == channel


def test_merged_channels_have_the_colours_of_the_file():
    colours = ("#0000ff", "#ff0000", "#00ff00")
    image = with_channels(stack(channel_colours=colours), "GFP,DAPI")
    assert image.mapping.colours == ("#00ff00", "#0000ff")
    assert with_channels(stack(), "GFP,DAPI").mapping.colours is None
    assert with_channels(stack(channel_colours=colours), "GFP").mapping.colours is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("3", r"no channel '3': cells has DAPI, actin, fixed, GFP \(0 to 2\)"),
        ("RFP", "no channel 'RFP'"),
        ("", "no channel ''"),
        ("0,0", "different channels"),
    ],
)
def test_channels_that_do_not_exist(text, sentence):
    with pytest.raises(UserError, match=sentence):
        with_channels(stack(), text)


def test_colour_images_have_red_green_and_blue():
    image = LoadedImage(np.zeros((9, 9, 4), dtype=np.uint8), axes="YXS")
    assert (n_channels(image), channel_names(image)) == (3, ("red", "green", "blue"))
    assert with_channels(image, "green").mapping.channel == 1


def test_images_without_channels_say_so():
    with pytest.raises(UserError, match="image has no channels: its axes are ZYX"):
        with_channels(LoadedImage(np.zeros((4, 9, 9)), False, "ZYX"), "0")
    with pytest.raises(UserError, match="has 8 channels and at most 6 can be merged"):
        with_channels(LoadedImage(np.zeros((8, 9, 9)), False, "CYX"), "all")
