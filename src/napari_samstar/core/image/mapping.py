"""How one plane is taken out of an array, and how its intensities become 8-bit."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.region import Region

MERGE_COLOURS = ("#ff0000", "#00ff00", "#0000ff", "#00ffff", "#ff00ff", "#ffff00")
"""Colours of merged channels: red, green, blue, cyan, magenta, yellow."""

Projection = Literal["none", "max", "mean"]
Stretch = Literal["percentile", "limits", "none"]
DataBarChoice = Literal["auto", "keep"]


@dataclass(frozen=True)
class ImageMapping:
    """How one plane is taken out of an array and how its intensities become 8-bit.

    Attributes
    ----------
    plane : tuple of int, optional
        One index per axis before (row, col), colours not counted. None takes the middle of each,
        and of channels the first.
    projection : {"none", "max", "mean"}
        Reduces one of those axes instead of indexing it (its number in `plane` is then ignored):
        Z, else the first that holds no channels. NaN and infinity do not take part.
    channel : int or tuple of int, optional
        In a colour image 0, 1 or 2 shows red, green or blue alone as grey; None keeps the colours.
        In any other image an index along the axis of channels, which overrides that entry of
        `plane`; see `axes.channel_axis`. Several channels are merged: each is stretched on its own,
        and their colours are added.
    colours : tuple of str, optional
        "#rrggbb" of each merged channel; by default `MERGE_COLOURS`.
    stretch : {"percentile", "limits", "none"}
        What becomes 0 and what becomes 255, linear in between and clipped outside:

        - ``"percentile"``: the `low` and `high` percentiles of the plane's finite values, so an
          8-bit image that already fills 0..255 changes by the clipped 0.2 % only. Where the two
          coincide (an almost empty image) minimum and maximum are used.
        - ``"limits"``: the two `limits`, such as the layer's contrast limits.
        - ``"none"``: uint8 as it is; bool as 0 and 255; other integers from the full range of
          their type; floats from 0..1.

        A colour image is stretched jointly: its three channels share one pair of bounds.
    low, high : float
        Percentiles, 0 <= low < high <= 100.
    limits : tuple of float, optional
        (black, white) in the array's own intensities, for ``"limits"``.
    invert : bool
        Replace v by 255 - v at the end (bright objects from dark ones).
    region : Region
        The part that is segmented; percentiles are those of its pixels.
    data_bar : {"auto", "keep"}
        Whether the strip with scale bar and text is left out, where one is found.
    """

    plane: tuple[int, ...] | None = None
    projection: Projection = "none"
    channel: int | tuple[int, ...] | None = None
    colours: tuple[str, ...] | None = None
    stretch: Stretch = "percentile"
    low: float = 0.1
    high: float = 99.9
    limits: tuple[float, float] | None = None
    invert: bool = False
    region: Region = field(default_factory=Region)
    data_bar: DataBarChoice = "auto"

    def __post_init__(self) -> None:
        if self.plane == ():  # a single plane has nothing to choose from
            object.__setattr__(self, "plane", None)
        self._check_channels()
        choices_of = {"projection": Projection, "stretch": Stretch, "data_bar": DataBarChoice}
        for name, choices in choices_of.items():
            if getattr(self, name) not in get_args(choices):
                listed = ", ".join(get_args(choices))
                raise UserError(f"{name} must be one of {listed}, not {getattr(self, name)!r}.")
        if not 0 <= self.low < self.high <= 100:
            raise UserError(
                f"The percentiles must satisfy 0 <= low < high <= 100, not {self.low:g} and "
                f"{self.high:g}."
            )
        if self.stretch == "limits" and self.limits is None:
            raise UserError("The stretch 'limits' needs two limits: give them or use 'percentile'.")
        if self.limits is not None:
            black, white = self.limits
            if not (math.isfinite(white - black) and black < white):
                raise UserError(
                    f"The limits must be two finite numbers, the smaller first, not {black:g} and "
                    f"{white:g}."
                )

    def _check_channels(self) -> None:
        channels = self.channel
        if not isinstance(channels, tuple):  # one channel, or the choice is left open
            if self.colours is not None:
                raise UserError("Colours are for several channels: give more than one channel.")
            return
        if len(channels) == 1:
            object.__setattr__(self, "channel", channels[0])
            object.__setattr__(self, "colours", None)
            return
        if not 2 <= len(set(channels)) == len(channels) <= len(MERGE_COLOURS):
            raise UserError(
                f"Two to {len(MERGE_COLOURS)} different channels can be merged, not {channels}."
            )
        if self.colours is None:
            return
        fits = len(self.colours) == len(channels)
        if not fits or not all(re.fullmatch("#[0-9a-fA-F]{6}", one) for one in self.colours):
            raise UserError(
                "Merged channels need one colour each, written like '#ff0000', not "
                f"{', '.join(self.colours) or 'none'}."
            )

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels that are used: none where that is not said, one, or several to merge."""
        if self.channel is None:
            return ()
        return self.channel if isinstance(self.channel, tuple) else (self.channel,)

    @property
    def rgb_weights(self) -> list[tuple[float, float, float]]:
        """Red, green and blue of each merged channel, 0 to 1."""
        colours = self.colours or MERGE_COLOURS[: len(self.channels)]
        return [
            (int(c[1:3], 16) / 255, int(c[3:5], 16) / 255, int(c[5:7], 16) / 255) for c in colours
        ]

    def replace(self, **changes: Any) -> ImageMapping:
        """Return a copy with `changes` applied, checked; other channels lose their colours."""
        if "channel" in changes:
            changes = {"colours": None, **changes}
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready values by name; later fields only where they are not default."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["region"] = self.region.to_dict()
        for name, default in (("colours", None), ("region", {}), ("data_bar", "auto")):
            if values[name] == default:
                del values[name]
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ImageMapping:
        """Build from `to_dict` output; an unknown name or a wrong type is an error."""
        known = sorted(f.name for f in fields(cls))
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise UserError(
                f"Unknown image setting {unknown[0]!r}; the settings are {', '.join(known)}."
            )
        values = dict(values)
        try:
            if values.get("plane") is not None:
                values["plane"] = tuple(int(i) for i in values["plane"])
            if values.get("limits") is not None:
                black, white = values["limits"]
                values["limits"] = (float(black), float(white))
            channel = values.get("channel")
            if isinstance(channel, list | tuple):
                values["channel"] = tuple(int(k) for k in channel)
            elif channel is not None:
                values["channel"] = int(channel)
            if values.get("region") is not None:
                values["region"] = Region.from_dict(dict(values["region"]))
            if values.get("colours") is not None:
                values["colours"] = tuple(str(c) for c in values["colours"])
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise UserError(f"An image setting has the wrong type ({error}): correct it.") from None
