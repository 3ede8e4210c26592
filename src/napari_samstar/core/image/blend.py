"""From the values of a plane, or of several channels, to the three colours that SAM sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.levels import Levels, levels_of

if TYPE_CHECKING:
    from napari_samstar.core.image.levels import Array, Bytes, Intensities
    from napari_samstar.core.image.mapping import ImageMapping


@dataclass(frozen=True)
class Blend:
    """How the parts of a plane become colours.

    Attributes
    ----------
    used : tuple of int
        Which parts of the plane: the only one, or the channels that are not constant.
    levels : tuple of Levels
        Of each of them.
    colours : tuple of (red, green, blue)
        Of merged channels, 0 to 1; empty for a single part.
    invert : bool
        Whether the merged picture is replaced by its negative.
    """

    used: tuple[int, ...]
    levels: tuple[Levels, ...]
    colours: tuple[tuple[float, float, float], ...] = ()
    invert: bool = False

    def to_rgb(self, planes: Sequence[Array]) -> Bytes:
        """Return uint8 (h, w, 3), perhaps a read-only view.

        Parameters
        ----------
        planes : sequence of ndarray
            Values of the parts `used`: (h, w), or one of (h, w, 3).
        """
        if not self.colours:
            values = self.levels[0].to_bytes(planes[0])
            # Grey: three equal channels without a copy.
            return (
                values
                if values.ndim == 3
                else np.broadcast_to(values[..., np.newaxis], (*values.shape, 3))
            )
        total = np.zeros((*planes[0].shape, 3), dtype=np.float32)
        for plane, levels, colour in zip(planes, self.levels, self.colours, strict=True):
            total += levels.to_bytes(plane)[..., np.newaxis] * np.array(colour, dtype=np.float32)
        merged = np.rint(np.minimum(total, 255)).astype(np.uint8)
        return 255 - merged if self.invert else merged


def blend_of(found: Sequence[Intensities], mapping: ImageMapping, notes: list[str]) -> Blend:
    """Return how the parts of a plane become colours.

    Parameters
    ----------
    found : sequence of Intensities
        Of the only part, or of each merged channel.
    notes : list of str
        What is decided is added.

    Raises
    ------
    UserError
        For a constant plane, or where every merged channel is constant.
    """
    if len(found) == 1:
        return Blend((0,), (levels_of(found[0], mapping, notes),))
    alone = mapping.replace(invert=False)  # the sum is inverted, not its parts
    used = [k for k, one in enumerate(found) if one.smallest < one.largest]
    notes += [
        f"Channel {mapping.channels[k]} is constant (every value is {one.smallest:g}), so it adds "
        "nothing."
        for k, one in enumerate(found)
        if k not in used
    ]
    if not used:
        raise UserError("All merged channels are constant: choose another plane or channels.")
    return Blend(
        tuple(used),
        tuple(levels_of(found[k], alone, notes) for k in used),
        tuple(mapping.rgb_weights[k] for k in used),
        mapping.invert,
    )
