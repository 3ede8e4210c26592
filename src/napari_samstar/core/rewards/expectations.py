"""Properties of the objects that the user expects, in px or physical units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.units import in_nm_or_um, length_in, metres_per

if TYPE_CHECKING:
    from napari_samstar.core.cues.image_cues import ImageCues

Kind = Literal["length", "number", "ratio"]


@dataclass(frozen=True)
class Expected:
    """Description of one expectation, for forms and the command line.

    Attributes
    ----------
    label, help : str
        A few words; one sentence.
    kind : {"length", "number", "ratio"}
    low, high : float
        Smallest and largest value.
    """

    label: str
    help: str
    kind: Kind
    low: float
    high: float


def _expected(label: str, help: str, kind: Kind, low: float = 0.0, high: float = 1e9) -> Any:
    return field(default=None, metadata={"expected": Expected(label, help, kind, low, high)})


@dataclass(frozen=True)
class Expectations:
    """Expected properties of the objects; None where not given.

    Lengths are in `unit`: "px", "nm" or "µm".
    """

    small: float | None = _expected(
        "Small below", "Objects of a smaller diameter count as small.", "length"
    )
    large: float | None = _expected(
        "Large above", "Objects of a larger diameter count as large.", "length"
    )
    count: float | None = _expected("Number", "How many objects the image shows.", "number")
    diameter: float | None = _expected("Median diameter", "Diameter of a typical object.", "length")
    spread: float | None = _expected(
        "Size spread", "Two thirds of the diameters lie within this factor of the median: 1.2 for "
        "nearly equal objects, 2 for very different ones.", "ratio", 1.0, 10.0,
    )  # fmt: skip
    spacing: float | None = _expected(
        "Least spacing", "Centres of neighbours are at least this far apart.", "length"
    )
    circularity: float | None = _expected(
        "Circularity", "1 for a disc, 0.8 for a square, less for rods.", "ratio", 0.0, 1.0
    )
    solidity: float | None = _expected(
        "Solidity", "1 for convex outlines, less where parts are concave.", "ratio", 0.0, 1.0
    )
    aspect_ratio: float | None = _expected(
        "Aspect ratio", "Length over width: 1 for round objects, more for rods.", "ratio", 1.0, 1e3
    )
    unit: str = "px"

    def __post_init__(self) -> None:
        for name, about in EXPECTED.items():
            value = getattr(self, name)
            if value is None:
                continue
            if not (math.isfinite(value) and 0 < value <= about.high and value >= about.low):
                low = f"more than 0 and at least {about.low:g}" if about.low else "more than 0"
                raise UserError(
                    f"{about.label} must be {low} and at most {about.high:g}, not {value!r}."
                )
        if self.small and self.large and self.small > self.large:
            raise UserError("'Small below' must not exceed 'Large above': swap the two sizes.")

    def in_px(self, pixel_size: tuple[float, float] | None, unit: str) -> Expectations:
        """Return these expectations with lengths in px of an image.

        Parameters
        ----------
        pixel_size : (float, float) or None
            (row, col), in `unit`; None if it is not known.
        unit : str
            Unit of `pixel_size`.

        Raises
        ------
        UserError
            If a length is given in nm or µm and the image has no pixel size.
        """
        if self.unit == "px":
            return self
        size, image_unit = (None, "px") if pixel_size is None else in_nm_or_um(*pixel_size, unit)
        if metres_per(self.unit) is None:
            raise UserError(f"Sizes can be given in px, nm or µm, not in {self.unit!r}.")
        given = {
            name: getattr(self, name)
            for name, about in EXPECTED.items()
            if about.kind == "length" and getattr(self, name) is not None
        }
        if size is None and not given:
            return replace(self, unit="px")
        if size is None:
            raise UserError(
                f"Sizes are given in {self.unit}, but the image's pixel size is not known: "
                "enter the pixel size, or give the sizes in px."
            )
        scale = length_in(1.0, self.unit, image_unit)
        assert scale is not None
        pixel = math.sqrt(size[0] * size[1])
        lengths = {name: value * scale / pixel for name, value in given.items()}
        return replace(self, **lengths, unit="px")

    def completed(self, cues: ImageCues) -> Expectations:
        """Return these expectations, which are in px, with estimates of `small` and `large`.

        Where not given, `small` is twice and `large` four times the median diameter of the blobs,
        or of the foreground's regions if there are no blobs.
        """
        median = _typical_diameter(cues)
        small = self.small or min(2 * median, self.large or math.inf)
        return replace(self, small=small, large=self.large or max(4 * median, small))

    def to_dict(self) -> dict[str, Any]:
        """Return the given expectations as a dictionary that JSON can hold."""
        return {k: v for k, v in asdict(self).items() if v is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Expectations:
        """Return the expectations of a dictionary made by `to_dict`."""
        unknown = values.keys() - {f.name for f in fields(cls)}
        if unknown:
            raise UserError(f"Unknown expectation {sorted(unknown)[0]!r}: remove it.")
        return cls(**values)


EXPECTED: dict[str, Expected] = {
    f.name: f.metadata["expected"] for f in fields(Expectations) if "expected" in f.metadata
}
"""All expectations by name."""


def _typical_diameter(cues: ImageCues) -> float:
    if len(cues.blobs):
        return float(np.median(cues.blobs[:, 2]))
    if len(cues.component_areas):
        return float(np.median(2 * np.sqrt(cues.component_areas / np.pi)))
    return float(min(cues.gray.shape)) / 20
