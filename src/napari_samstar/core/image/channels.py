"""Channels as a person names them: 'DAPI', '0', '0,2', 'all'."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.axes import channel_axis
from napari_samstar.core.image.mapping import MERGE_COLOURS

if TYPE_CHECKING:
    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.image.mapping import ImageMapping

ALL = "all"
COLOURS = ("red", "green", "blue")
"""Names of the channels of a colour image."""


def n_channels(image: LoadedImage) -> int:
    """Return how many channels an image has, 3 in colour; 0 where it has no axis of channels."""
    if image.in_colour:
        return len(COLOURS)
    sizes = image.plane_sizes
    axis = channel_axis(image.axes, len(sizes))
    return 0 if axis is None else sizes[axis]


def channel_names(image: LoadedImage) -> tuple[str, ...]:
    """Return the names of the channels; empty where they have none."""
    if image.in_colour:
        return COLOURS
    return image.channel_names if len(image.channel_names) == n_channels(image) else ()


def with_channels(image: LoadedImage, text: str) -> LoadedImage:
    """Return an image of which the channels are used that a text names.

    Parameters
    ----------
    text : str
        A name or a number, several of them with commas between, or 'all'. Several channels are
        merged in the colours that the file gives them, else in `mapping.MERGE_COLOURS`.

    Raises
    ------
    UserError
        For a channel that the image does not have.
    """
    return image.replace(mapping=mapping_of_channels(image, parse_channels(image, text)))


def mapping_of_channels(image: LoadedImage, channels: tuple[int, ...]) -> ImageMapping:
    """Return the mapping of an image with other channels, merged in their colours."""
    known = image.channel_colours
    colours = None
    if len(channels) > 1 and all(k < len(known) and known[k] for k in channels):
        colours = tuple(known[k] for k in channels)
    return image.mapping.replace(channel=channels or None, colours=colours)


def parse_channels(image: LoadedImage, text: str) -> tuple[int, ...]:
    """Return the indices of the channels that a text names, see `with_channels`."""
    n, names = n_channels(image), channel_names(image)
    if not n:
        known = f": its axes are {image.axes}" if image.axes else ""
        raise UserError(f"{image.name} has no channels{known}; leave the channel out.")
    if text.strip().casefold() == ALL:
        if n > len(MERGE_COLOURS):
            raise UserError(
                f"{image.name} has {n} channels and at most {len(MERGE_COLOURS)} can be merged: "
                "name them."
            )
        return tuple(range(n))
    # A name may hold a comma.
    parts = [text] if _index(text, names, n) is not None else text.split(",")
    found = [_index(part, names, n) for part in parts]
    for part, index in zip(parts, found, strict=True):
        if index is None:
            there = ", ".join(names) or f"the channels 0 to {n - 1}"
            raise UserError(
                f"There is no channel '{part.strip()}': {image.name} has {there}"
                + (f" (0 to {n - 1})." if names else ".")
            )
    return tuple(index for index in found if index is not None)


def _index(text: str, names: tuple[str, ...], n: int) -> int | None:
    wanted = text.strip().casefold()
    for k, name in enumerate(names):
        if name.strip().casefold() == wanted:
            return k
    return int(wanted) if wanted.isdecimal() and int(wanted) < n else None
